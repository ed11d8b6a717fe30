"""Requests that several endpoints work on: prefill, decode and encode apart."""
