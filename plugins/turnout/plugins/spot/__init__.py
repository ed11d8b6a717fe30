"""Endpoints that may be taken away: how much of the traffic they get, and when they get none."""
