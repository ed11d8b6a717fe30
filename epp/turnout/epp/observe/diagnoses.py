"""What plugins say about their own work: asked for regularly, logged when it is new, shown to whoever looks."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from turnout.epp.observe.asking import ask_each
from turnout.epp.observe.labels import printable
from turnout.framework import (
    Diagnosed,
    Diagnosis,
    Endpoint,
    ExtensionPoint,
    Finding,
    Named,
    PluginError,
)

_log = logging.getLogger(__name__)

MAX_FINDINGS = 1_000
"""Of one plugin at one time; further ones are left out."""


class Diagnoses:
    """Asks the plugins that ``plugins`` gives, and remembers what they found last. A plugin that fails has none."""

    def __init__(
        self,
        plugins: Callable[[], Sequence[Named[Diagnosed]]],
        endpoints: Callable[[], Sequence[Endpoint]],
        clock: Callable[[], float],
        failed: Callable[[PluginError], None],
    ) -> None:
        self._plugins = plugins
        self._endpoints = endpoints
        self._clock = clock
        self._failed = failed
        self._known: Mapping[str, Sequence[Finding]] = {}

    def ask(self) -> Mapping[str, Diagnosis]:
        """What each plugin says now, by its name."""
        endpoints, now = self._endpoints(), self._clock()
        answers: Mapping[str, Diagnosis | None] = ask_each(
            ((named.name, named.plugin) for named in self._plugins()),
            ExtensionPoint.DIAGNOSIS,
            lambda plugin: plugin.diagnose(endpoints, now),
            self._failed,
        )
        # A plugin that is not type-checked may return nothing at all.
        return {name: answer for name, answer in answers.items() if answer is not None}

    def review(self) -> None:
        """Asks all, and logs what was found since the last review and what is no longer so."""
        found = {name: answer.findings[:MAX_FINDINGS] for name, answer in self.ask().items()}
        before, self._known = self._known, found
        for name, finding in _missing_from(before, found):
            _log.warning("%s%s: %s", name, _of(finding), printable(finding.message, 1_000))
        for name, finding in _missing_from(found, before):
            _log.info("%s%s: no longer so: %s", name, _of(finding), finding.cause)

    def counts(self) -> Counter[tuple[str, str]]:
        """How many findings the last review had, by plugin and cause."""
        return Counter((name, finding.cause) for name, findings in self._known.items() for finding in findings)


class FindingGauges(Collector):
    """The number of findings of the last review."""

    def __init__(self, prefix: str, diagnoses: Diagnoses, types: Callable[[str], str]) -> None:
        self._prefix = prefix
        self._diagnoses = diagnoses
        self._types = types

    def collect(self) -> Iterable[Metric]:
        """One family; without findings it has no samples."""
        family = GaugeMetricFamily(
            self._prefix + "plugin_findings",
            "What plugins found wrong with their own work; the log and /diagnosis say what.",
            labels=("plugin_name", "plugin_type", "cause"),
        )
        for (name, cause), count in self._diagnoses.counts().items():
            family.add_metric((printable(name), self._types(name), printable(cause)), count)
        return (family,)


def _missing_from(
    one: Mapping[str, Sequence[Finding]], other: Mapping[str, Sequence[Finding]]
) -> Iterable[tuple[str, Finding]]:
    """What ``other`` has and ``one`` has not; a message may carry figures that change, so it does not count."""
    known = {(name, finding.endpoint, finding.cause) for name, findings in one.items() for finding in findings}
    for name, findings in other.items():
        for finding in findings:
            if (name, finding.endpoint, finding.cause) not in known:
                yield name, finding


def _of(finding: Finding) -> str:
    return f", endpoint {printable(finding.endpoint)}" if finding.endpoint else ""
