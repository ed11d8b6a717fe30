"""Asks a running picker how it is."""
