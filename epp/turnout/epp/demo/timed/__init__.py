"""Requests that come on their own clock, whatever becomes of those before, and what their clients see."""
