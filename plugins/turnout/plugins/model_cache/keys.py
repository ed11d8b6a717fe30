"""What producers of load times publish about a request."""

from collections.abc import Mapping

from turnout.framework import KeyFamily

DEFAULT_PRODUCER = "model-cache-producer"

LOAD_SECONDS: KeyFamily[Mapping[str, float]] = KeyFamily("model-load-seconds", DEFAULT_PRODUCER)
"""Seconds until an endpoint could begin with this request's model or adapter, by endpoint name.

An endpoint without an entry is ready. Values are finite and above 0.
"""
