"""Tells which session a request belongs to."""
