"""Checks of parameters that several plugins of this feature have."""


def at_least(parameter: str, value: float, bound: int) -> None:
    """Accepts a finite number that is not below the bound.

    Raises:
        ValueError: it is neither.
    """
    if not bound <= value < float("inf"):
        raise ValueError(f"{parameter} must be at least {bound}, got {value}")
