"""Counters, gauges and histograms whose values the hot path updates and a scrape reads.

Theory of operation: exposition, escaping and content negotiation are prometheus_client's; only the storage is
ours. One thread (the event loop) writes, so there are no locks, and a histogram is a list of integers: an
observation costs a quarter and a child a twentieth of the library's, whose buckets are objects with a lock
each. Another thread may collect meanwhile: it copies each list in one step, and ``_count`` is summed from the
copy, so that a histogram always agrees with itself. Children are never removed; callers bound their number.
"""

from collections.abc import Iterable, Sequence
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from turnout.framework import Histogram


class Cell:
    """One number of a counter or a gauge; add to ``value``."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0


class CellFamily(Collector):
    """A counter or gauge with labels. ``made_of`` says which."""

    def __init__(
        self,
        made_of: type[CounterMetricFamily] | type[GaugeMetricFamily],
        name: str,
        documentation: str,
        labels: Sequence[str],
    ) -> None:
        self._made_of = made_of
        self.name = name
        self.documentation = documentation
        self.labels = tuple(labels)
        self._children: dict[tuple[str, ...], Cell] = {}

    def __len__(self) -> int:
        return len(self._children)

    def child(self, *values: str) -> Cell:
        """The one cell with these label values, in the order of the labels; starts at 0."""
        return self._children.setdefault(values, Cell())

    def collect(self) -> Iterable[CounterMetricFamily | GaugeMetricFamily]:
        """The family as the exposition wants it."""
        family = self._made_of(self.name, self.documentation, labels=self.labels)
        for values, cell in self._children.copy().items():
            family.add_metric(values, cell.value)
        yield family


class HistogramFamily(Collector):
    """A histogram with labels; ``bounds`` are the buckets' upper bounds without infinity."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str], bounds: Sequence[float]) -> None:
        self.name = name
        self.documentation = documentation
        self.labels = tuple(labels)
        self.bounds = tuple(bounds)
        self._edges = edges(self.bounds)
        self._children: dict[tuple[str, ...], Histogram] = {}

    def child(self, *values: str) -> Histogram:
        """The one histogram with these label values, in the order of the labels; starts empty."""
        found = self._children.get(values)
        if found is None:
            found = self._children[values] = Histogram(self.bounds)
        return found

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """The family as the exposition wants it, with cumulative buckets."""
        family = HistogramMetricFamily(self.name, self.documentation, labels=self.labels)
        for values, histogram in self._children.copy().items():
            family.add_metric(values, cumulative(self._edges, histogram.counts[:]), histogram.total)
        yield family


def edges(bounds: Sequence[float]) -> tuple[str, ...]:
    """The values of the label ``le``: each bound, and infinity."""
    return (*map(floatToGoString, bounds), "+Inf")


def cumulative(labels: Sequence[str], counts: Sequence[int]) -> list[tuple[str, int]]:
    """For each value of ``le`` how many observations were at most that."""
    return list(zip(labels, accumulate(counts), strict=True))
