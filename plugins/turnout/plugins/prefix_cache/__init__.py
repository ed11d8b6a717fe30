"""Sends requests to endpoints that have computed the beginning of their prompt before."""
