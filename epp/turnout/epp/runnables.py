"""The background work of plugins."""

import asyncio
from collections.abc import Callable, Sequence

from turnout.framework import ExtensionPoint, Named, PluginError, Runnable, plugin_boundary


class Runnables:
    """Keeps plugins running. A failure is told to ``failed`` and ends the work of that plugin only."""

    def __init__(self, failed: Callable[[PluginError], None]) -> None:
        self._failed = failed
        # By the plugin's identity; a plugin need not be hashable.
        self._running: dict[int, asyncio.Task[None]] = {}
        self._ending: list[asyncio.Task[None]] = []

    @property
    def tasks(self) -> Sequence[asyncio.Task[None]]:
        """What was begun last, and what was cancelled before and may not have ended yet."""
        return (*self._running.values(), *self._ending)

    def run(self, plugins: Sequence[Named[Runnable]]) -> None:
        """Cancels what runs and begins anew; a plugin is called again only when its earlier call has returned."""
        before = self._running
        for task in before.values():
            task.cancel()
        self._ending = [task for task in (*self._ending, *before.values()) if not task.done()]
        self._running = {
            id(named.plugin): asyncio.create_task(self._work(named, before.get(id(named.plugin)))) for named in plugins
        }

    async def _work(self, named: Named[Runnable], earlier: asyncio.Task[None] | None) -> None:
        if earlier is not None:
            await asyncio.wait({earlier})
        try:
            with plugin_boundary(named.name, ExtensionPoint.RUNNABLE):
                await named.plugin.run()
        except PluginError as error:
            self._failed(error)
