"""How many replicas plugins say that there should be: asked for regularly, shown to whoever looks."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from turnout.epp.observe.asking import ask_each
from turnout.epp.observe.labels import printable
from turnout.framework import Endpoint, ExtensionPoint, PluginError, ScalingAdvice, ScalingAdvisor

MAX_ADVICE = 200
"""Of one plugin; further ones are left out."""


class ScalingAdvices:
    """Asks those of the plugins that advise, and keeps what they said last. One that fails says nothing."""

    def __init__(
        self,
        plugins: Callable[[], Mapping[str, object]],
        endpoints: Callable[[], Sequence[Endpoint]],
        clock: Callable[[], float],
        failed: Callable[[PluginError], None],
    ) -> None:
        self._plugins = plugins
        self._endpoints = endpoints
        self._clock = clock
        self._failed = failed
        self.latest: Mapping[str, Sequence[ScalingAdvice]] = {}
        """By the plugin's name."""

    def ask(self) -> None:
        """Asks every plugin about this moment."""
        endpoints, now = self._endpoints(), self._clock()
        advisors = ((name, plugin) for name, plugin in self._plugins().items() if isinstance(plugin, ScalingAdvisor))
        self.latest = ask_each(
            advisors,
            ExtensionPoint.SCALING_ADVICE,
            lambda plugin: tuple(plugin.scaling_advice(endpoints, now)[:MAX_ADVICE]),
            self._failed,
        )


class AdviceGauges(Collector):
    """The latest advice; gauges of an autoscaler's query, so their names stay. ``types`` gives a plugin's type."""

    def __init__(self, prefix: str, advices: ScalingAdvices, types: Callable[[str], str]) -> None:
        self._prefix = prefix
        self._advices = advices
        self._types = types

    def collect(self) -> Iterable[Metric]:
        """Without advice the families have no samples, so that a query finds nothing and not 0."""
        families = {name: self._family(name) for name in _GAUGES}
        reasons = self._family("autoscaling_advice", *_REASON)
        for plugin, advice in self._advices.latest.items():
            own = (printable(plugin), self._types(plugin))
            for one in advice:
                labels = (printable(one.group), printable(one.basis), *own)
                for name, (value, _) in _GAUGES.items():
                    read = value(one)
                    if read is not None:
                        families[name].add_metric(labels, read)
                reasons.add_metric((*labels, printable(one.reason)), 1.0)
        return (*families.values(), reasons)

    def _family(self, name: str, words: str = "", *more: str) -> GaugeMetricFamily:
        words = words or _GAUGES[name][1]
        return GaugeMetricFamily(self._prefix + name, words, labels=(*_LABELS, *more))


_LABELS = ("group", "basis", "plugin_name", "plugin_type")
_REASON = ("1 for the reason of the advice.", "reason")
_GAUGES: Mapping[str, tuple[Callable[[ScalingAdvice], float | None], str]] = {
    "autoscaling_desired_replicas": (lambda one: one.desired, "Replicas that there should be, after all bounds."),
    "autoscaling_current_replicas": (lambda one: one.current, "Replicas in the pool."),
    "autoscaling_needed_replicas": (
        lambda one: one.needed,
        "Replicas that the load asks for, before rounding, bounds, cooldown and tolerance; absent if not known.",
    ),
    "autoscaling_min_replicas": (lambda one: one.minimum, "The least that is advised."),
    "autoscaling_max_replicas": (lambda one: one.maximum, "The most that is advised."),
}
