"""Ties the data layer together: discovery, resolution and scraping feed the store."""

import asyncio
from collections.abc import Callable, Sequence
from random import Random

from turnout.epp.datalayer.discovery.resolve import RESOLVE_SECONDS, Resolver
from turnout.epp.datalayer.scraper import ScrapeCounters, Scraper, SourceBinding
from turnout.epp.datalayer.store import EndpointStore
from turnout.framework import EndpointDiscovery, EndpointSpec, Named

MIN_REFRESH_SECONDS = 0.05


class DataLayer:
    """Keeps ``store`` current while ``run`` runs.

    ``ready`` is set once the first listing is in the store. ``counters`` and ``resolver.failures`` count from
    the start on, across changes of sources. The data layer closes the sources that it was given.
    """

    def __init__(
        self,
        store: EndpointStore,
        discovery: Named[EndpointDiscovery],
        sources: Sequence[SourceBinding],
        clock: Callable[[], float],
        *,
        refresh_seconds: float = MIN_REFRESH_SECONDS,
        resolver: Resolver | None = None,
        rng: Random | None = None,
    ) -> None:
        self.store = store
        self.ready = asyncio.Event()
        self.counters = ScrapeCounters()
        self.resolver = resolver or Resolver()
        self._discovery = discovery
        self._sources = tuple(sources)
        self._clock = clock
        self._refresh_seconds = max(MIN_REFRESH_SECONDS, refresh_seconds)
        self._rng = rng or Random()
        self._listing: Sequence[EndpointSpec] = ()
        self._resolving = asyncio.Lock()
        self._reconfigured = asyncio.Event()

    async def run(self) -> None:
        """Runs until cancelled.

        Raises:
            ValueError: the first listing is invalid.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._discovery.plugin.discover(self._publish))
                tasks.create_task(self._resolve_again_and_again())
                tasks.create_task(self._scrape_as_configured())
        except ExceptionGroup as failures:  # one task fails and the others are cancelled
            raise failures.exceptions[0] from None

    def configure(self, sources: Sequence[SourceBinding]) -> None:
        """Scrapes the new sources from now on and closes the old ones. What was read so far is kept.

        Endpoints that the old sources could not scrape are back in service.
        """
        self._sources = tuple(sources)
        self._reconfigured.set()

    async def _publish(self, specs: Sequence[EndpointSpec]) -> None:
        self._listing = tuple(specs)
        await self._resolve()
        self.ready.set()

    async def _resolve(self) -> None:
        async with self._resolving:
            self.store.replace(await self.resolver.resolve(self._listing))

    async def _resolve_again_and_again(self) -> None:
        while True:
            await asyncio.sleep(RESOLVE_SECONDS)
            await self._resolve()

    async def _scrape_as_configured(self) -> None:
        while True:
            self._reconfigured.clear()
            sources = self._sources
            try:
                await self._scrape_until_reconfigured(sources)
            finally:
                for binding in sources:
                    await binding.source.plugin.close()
            self.store.forget_scrape_failures()

    async def _scrape_until_reconfigured(self, sources: Sequence[SourceBinding]) -> None:
        async with asyncio.TaskGroup() as tasks:
            if sources:
                scraper = Scraper(self.store, sources, self._clock, self._refresh_seconds, self.counters, self._rng)
                scraping = tasks.create_task(scraper.run())
            await self._reconfigured.wait()
            if sources:
                scraping.cancel()
