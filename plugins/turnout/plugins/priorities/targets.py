"""Values that an operator gives a class of requests."""

from datetime import timedelta

# The range of an InferenceObjective's priority.
LOWEST_PRIORITY, HIGHEST_PRIORITY = -(2**31), 2**31 - 1


def target_of(parameter: str, duration: timedelta | None) -> float | None:
    """The target in seconds, None without one.

    Raises:
        ValueError: it is not positive.
    """
    if duration is None:
        return None
    if duration <= timedelta():
        raise ValueError(f"{parameter} must be positive, got {duration}")
    return duration.total_seconds()


def check_priority(parameter: str, priority: int) -> None:
    """Raises ``ValueError`` unless the priority has 32 bits."""
    if not LOWEST_PRIORITY <= priority <= HIGHEST_PRIORITY:
        raise ValueError(f"{parameter} must be within [{LOWEST_PRIORITY}, {HIGHEST_PRIORITY}], got {priority}")
