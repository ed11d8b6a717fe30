"""How plugins say that promises are kept."""

from collections.abc import Callable, Mapping, Sequence

from turnout.epp.observe.asking import ask_each
from turnout.framework import ExtensionPoint, PluginError, SlaReporter, SlaStatus

MAX_TARGETS = 1_000
"""Of one plugin; further ones are left out."""


class Promises:
    """Asks those of the plugins that report on promises. One that fails has no targets, and is told to ``failed``."""

    def __init__(
        self,
        plugins: Callable[[], Mapping[str, object]],
        clock: Callable[[], float],
        failed: Callable[[PluginError], None],
    ) -> None:
        self._plugins = plugins
        self._clock = clock
        self._failed = failed

    def ask(self) -> Mapping[str, Sequence[SlaStatus]]:
        """The targets of each plugin at this moment, by its name."""
        now = self._clock()
        reporters = ((name, plugin) for name, plugin in self._plugins().items() if isinstance(plugin, SlaReporter))
        return ask_each(
            reporters, ExtensionPoint.SLA_REPORT, lambda plugin: plugin.sla_status(now)[:MAX_TARGETS], self._failed
        )
