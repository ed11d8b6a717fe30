"""Error counts of the data layer, read from it at the moment of a scrape."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector


class ScrapeView(Protocol):
    """What the data layer counts, by the names of plugins."""

    @property
    def poll_errors(self) -> Mapping[str, int]:
        """Fetches that failed, by source."""
        ...

    @property
    def extract_errors(self) -> Mapping[tuple[str, str], int]:
        """Pages that could not be read, by source and extractor."""
        ...


class ScrapeErrors(Collector):
    """Two counters, by type of plugin as the field labels them; plugins of one type are added up."""

    def __init__(self, prefix: str, view: ScrapeView, types: Callable[[str], str]) -> None:
        self._prefix = prefix
        self._view = view
        self._types = types

    def collect(self) -> Iterable[CounterMetricFamily]:
        """The counts since the start of the process."""
        polls: Counter[tuple[str, ...]] = Counter()
        for source, count in self._view.poll_errors.items():
            polls[(self._types(source),)] += count
        yield self._family("datalayer_poll_errors", "Endpoints that did not answer a data source.", polls)
        extracts: Counter[tuple[str, ...]] = Counter()
        for (source, extractor), count in self._view.extract_errors.items():
            extracts[self._types(source), self._types(extractor)] += count
        yield self._family("datalayer_extract_errors", "Pages that an extractor could not read.", extracts)

    def _family(self, stem: str, documentation: str, counts: Mapping[tuple[str, ...], int]) -> CounterMetricFamily:
        labels = ("source_type", "extractor_type") if stem.endswith("extract_errors") else ("source_type",)
        family = CounterMetricFamily(self._prefix + stem, documentation, labels=labels)
        for values, count in counts.items():
            family.add_metric(values, count)
        return family
