"""The figures that plugins have of their own, read from them at the moment of a scrape."""

import re
from collections.abc import Callable, Iterable, Mapping

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from turnout.epp.observe.labels import printable
from turnout.epp.observe.series import cumulative, edges
from turnout.framework import (
    CounterReading,
    ExtensionPoint,
    GaugeReading,
    HistogramReading,
    Measured,
    PluginError,
    Reading,
    plugin_boundary,
)

MAX_READINGS = 2_000
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_KINDS: Mapping[type, str] = {GaugeReading: "gauge", CounterReading: "counter", HistogramReading: "histogram"}


class PluginReadings(Collector):
    """Shows the readings of the plugins that ``plugins`` gives by name; ``types`` gives a plugin's type.

    At most 2,000 readings of one plugin are shown, and of those with the same labels the first. A plugin that fails
    shows no more than it gave until then, and is reported to ``failed``.
    """

    def __init__(
        self,
        prefix: str,
        plugins: Callable[[], Mapping[str, object]],
        types: Callable[[str], str],
        failed: Callable[[PluginError], None],
    ) -> None:
        self._prefix = prefix
        self._plugins = plugins
        self._types = types
        self._failed = failed

    def describe(self) -> Iterable[Metric]:
        """Nothing: what plugins will show is not known before, and the registry must not ask them at once."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """One family for each name, whichever plugins have it."""
        families: dict[str, Metric] = {}
        for name, plugin in self._plugins().items():
            if isinstance(plugin, Measured):
                try:
                    with plugin_boundary(name, ExtensionPoint.READINGS):
                        self._read(families, name, plugin)
                except PluginError as error:
                    self._failed(error)
        return families.values()

    def _read(self, families: dict[str, Metric], name: str, plugin: Measured) -> None:
        shown: set[tuple[str, frozenset[tuple[str, str]]]] = set()
        own = {"plugin_name": name, "plugin_type": self._types(name)}
        for number, reading in enumerate(plugin.readings()):
            if number >= MAX_READINGS:
                return
            family = self._family(families, reading)
            labels = {**{key: printable(value) for key, value in reading.labels.items()}, **own}
            # Names that clients make up can be the same once they are printable; a page must not have a series twice.
            series = (reading.name, frozenset(labels.items()))
            if series in shown:
                continue
            shown.add(series)
            if isinstance(reading, HistogramReading):
                _add_histogram(family, labels, reading)
            else:
                family.add_sample(self._prefix + reading.name, labels, reading.value)

    def _family(self, families: dict[str, Metric], reading: Reading) -> Metric:
        if not _NAME.fullmatch(reading.name):
            raise ValueError(f"{reading.name!r} is no name of a metric")
        if isinstance(reading, CounterReading) != reading.name.endswith("_total"):
            raise ValueError(f"{reading.name!r}: the names of counters, and no others, end in _total")
        kind = _KINDS[type(reading)]
        # The exposition puts the ending of a counter behind its family's name.
        stem = reading.name.removesuffix("_total") if kind == "counter" else reading.name
        family = families.setdefault(reading.name, Metric(self._prefix + stem, reading.help, kind))
        if family.type != kind:
            raise ValueError(f"{reading.name!r} is a {family.type} of another plugin")
        return family


def _add_histogram(family: Metric, labels: Mapping[str, str], reading: HistogramReading) -> None:
    histogram = reading.histogram
    buckets = cumulative(edges(histogram.bounds), histogram.counts)
    for edge, count in buckets:
        family.add_sample(f"{family.name}_bucket", {**labels, "le": edge}, count)
    family.add_sample(f"{family.name}_count", dict(labels), buckets[-1][1])
    family.add_sample(f"{family.name}_sum", dict(labels), histogram.total)
