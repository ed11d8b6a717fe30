"""Counters, gauges and histograms whose values the hot path updates and a scrape reads.

Theory of operation: exposition, escaping and content negotiation are prometheus_client's; only the storage is
ours. One thread (the event loop) writes, so there are no locks, and a histogram is a list of integers: an
observation costs a quarter and a child a twentieth of the library's, whose buckets are objects with a lock
each. Another thread may collect meanwhile: it copies each list in one step, and ``_count`` is summed from the
copy, so that a histogram always agrees with itself. Children are never removed; callers bound their number.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class Cell:
    """One number of a counter or a gauge; add to ``value``."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0


class Histogram:
    """Counts of observations by bucket, not cumulative, and their sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Counts the value in the first bucket whose upper bound is not below it."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


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
        self._edges = (*map(floatToGoString, self.bounds), "+Inf")
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
            family.add_metric(values, self._cumulative(histogram.counts[:]), histogram.total)
        yield family

    def _cumulative(self, counts: Sequence[int]) -> list[tuple[str, int]]:
        running = 0
        buckets = []
        for edge, count in zip(self._edges, counts, strict=True):
            running += count
            buckets.append((edge, running))
        return buckets
