"""A score of several weighted parts, of which some may not be known."""

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

from turnout.framework import Scores

Unknown: TypeAlias = Literal["worst", "neutral"]
Part: TypeAlias = tuple[float, Sequence[float | None]]
"""Its weight, and its value for each candidate, within [0, 1]; None where it is not known."""

EVEN = 0.5
"""Of a part that is not known of anybody."""


def check_weights(weights: Mapping[str, float]) -> None:
    """Raises ``ValueError`` unless all are at least 0, finite, and one of them above 0."""
    for name, weight in weights.items():
        if not 0.0 <= weight < float("inf"):
            raise ValueError(f"{name} must be at least 0 and finite, got {weight}")
    if not any(weights.values()):
        raise ValueError(f"{', '.join(weights)} must not all be 0, got {list(weights.values())}")


def weighted(parts: Sequence[Part], unknown: Unknown, count: int) -> Scores:
    """The mean of the parts by their weights for each of ``count`` candidates; 1 for all of them without any part.

    A part that is not known of a candidate is 0 for it with ``worst``, and with ``neutral`` the mean of those of which
    it is known: 0.5 would draw requests where the others are worse, and repel them where they are better.
    """
    whole = sum(weight for weight, _ in parts)
    if not whole:
        return [1.0] * count
    totals = [0.0] * count
    for weight, values in parts:
        share = weight / whole
        totals = [total + share * value for total, value in zip(totals, _filled(values, unknown), strict=True)]
    # Shares that are rounded may add up to a little more than 1.
    return [min(1.0, total) for total in totals]


def _filled(values: Sequence[float | None], unknown: Unknown) -> Sequence[float]:
    known = [value for value in values if value is not None]
    if len(known) == len(values):
        return known
    stand_in = 0.0
    if unknown == "neutral":
        stand_in = sum(known) / len(known) if known else EVEN
    return [stand_in if value is None else value for value in values]
