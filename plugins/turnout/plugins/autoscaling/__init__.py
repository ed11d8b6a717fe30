"""Advises how many replicas there should be. Something else scales."""
