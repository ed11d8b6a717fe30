"""Figures of a plugin's own, for the metrics page."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol, TypeAlias, runtime_checkable


class Histogram:
    """Counts of observations by bucket, and their sum; ``bounds`` are the buckets' upper ends without infinity.

    Raises:
        ValueError: the bounds do not ascend.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        if any(low >= high for low, high in pairwise(bounds)):
            raise ValueError(f"bounds must ascend, got {list(bounds)}")
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Counts the value in the first bucket whose upper bound is not below it."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


@dataclass(frozen=True, slots=True)
class GaugeReading:
    """A value at this moment. ``name`` is a metric's name without the prefix of the process."""

    name: str
    help: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CounterReading:
    """A total that only grows while the plugin lives; ``name`` ends in ``_total``."""

    name: str
    help: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HistogramReading:
    """A histogram that the plugin keeps in a field."""

    name: str
    help: str
    histogram: Histogram
    labels: Mapping[str, str] = field(default_factory=dict)


Reading: TypeAlias = GaugeReading | CounterReading | HistogramReading


@runtime_checkable
class Measured(Protocol):
    """A plugin with figures of its own on the metrics page."""

    def readings(self) -> Iterable[Reading]:
        """What to show; asked for on the event loop when somebody reads the page.

        The values of labels must be bounded in number. The labels ``plugin_name`` and ``plugin_type`` are added.
        """
        ...
