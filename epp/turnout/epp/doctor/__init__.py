"""Asks a running picker whether its knowledge of prefix caches is true."""
