"""Picks several endpoints for one request, all of them or none."""
