"""Measures whether promises about latency are kept."""
