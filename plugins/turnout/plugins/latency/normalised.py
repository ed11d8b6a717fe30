"""Values relative to each other."""

from collections.abc import Sequence


def spread_out(values: Sequence[float]) -> tuple[list[float], bool]:
    """The values from 0 for the smallest to 1 for the largest, and whether they differ; 0.5 if they do not."""
    least, most = min(values), max(values)
    if not most > least:
        return [0.5] * len(values), False
    return [(value - least) / (most - least) for value in values], True
