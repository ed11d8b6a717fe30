"""Endpoints on slices of a GPU (NVIDIA Multi-Instance GPU)."""
