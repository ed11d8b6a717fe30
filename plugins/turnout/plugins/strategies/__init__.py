"""Strategies: who goes next when requests have to wait, as ordering policies and as functions."""
