"""Quantiles of durations in bounded memory.

A sketch by Masson, Rim and Lee (DDSketch, VLDB 2019, doi:10.14778/3352063.3352135) counts values in buckets that grow
by a constant factor. Its quantiles are off by at most 1% of the value; others bound the error in rank, which says
little about a tail. Sketches of slices of time add up without loss.
"""

from collections.abc import Iterable, Sequence

from ddsketch import DDSketch

RELATIVE_ERROR = 0.01
SHORTEST, LONGEST = 1e-6, 1e6
"""In seconds: below the shortest is 0, above the longest is the longest. Bounds a sketch to 1,408 buckets."""


def new_sketch() -> DDSketch:
    """A sketch without durations."""
    return DDSketch(RELATIVE_ERROR)


def add_duration(sketch: DDSketch, seconds: float) -> None:
    """Counts one duration, which is a number of at least 0."""
    sketch.add(0.0 if seconds < SHORTEST else min(seconds, LONGEST))


def quantiles_of(sketches: Iterable[DDSketch], wanted: Sequence[float]) -> dict[float, float]:
    """The wanted quantiles (0 to 1) of all durations in seconds; empty without any.

    The quantile q of n durations is the one at place floor(q * (n - 1)), counted from 0, of them in order.
    """
    total = new_sketch()
    for sketch in sketches:
        total.merge(sketch)
    found = ((quantile, total.get_quantile_value(quantile)) for quantile in wanted)
    return {quantile: float(value) for quantile, value in found if value is not None}
