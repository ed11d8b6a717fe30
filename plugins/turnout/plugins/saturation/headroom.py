"""How much fuller than its set point an endpoint may be before detectors filter it out."""


def filter_limit(headroom: float) -> float:
    """The load, as a multiple of the set point, from which on an endpoint is filtered out.

    Raises:
        ValueError: the headroom is negative or not finite.
    """
    if not 0.0 <= headroom < float("inf"):
        raise ValueError(f"headroom must be at least 0 and finite, got {headroom}")
    return 1.0 + headroom
