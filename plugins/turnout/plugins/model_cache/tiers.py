"""How far from being computed with a model is at an endpoint."""

from enum import StrEnum


class Tier(StrEnum):
    """The nearest place where an endpoint has a model; the values label metrics."""

    LOADED = "loaded"
    LOADING = "loading"
    DISK = "disk"
    NOWHERE = "nowhere"
