"""Fetches the endpoints' pages, time after time, and feeds what extractors make of them to the store."""

import asyncio
import logging
import ssl
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from random import Random
from typing import Protocol

import aiohttp
from yarl import URL

from turnout.epp.bounded_body import read_bounded
from turnout.epp.datalayer.pacing import Pace, most_overdue
from turnout.epp.datalayer.record import METRICS_PORT
from turnout.epp.datalayer.store import EndpointStore
from turnout.framework import DataSource, Endpoint, ExtensionPoint, Extractor, Named, PluginError, plugin_boundary

_log = logging.getLogger(__name__)

TIME_LIMIT_SECONDS = 1.0
# A source has its own time limit; this one is for a plugin that forgot it.
_FETCH_GUARD_SECONDS = 10.0
MAX_PAGE_BYTES = 4 * 1024 * 1024
_OK = 200
_READ_BYTES = 64 * 1024
_HEADERS = {
    "Accept": "text/plain;version=0.0.4",
    # Compressing costs the engine more than the local network gains, and an uncompressed page cannot be a bomb.
    "Accept-Encoding": "identity",
}


class MetricsDataSource:
    """GETs ``path`` of an endpoint over a connection that is kept open.

    ``port`` None means the endpoint's metrics port. An answer takes at most 1 s and 4 MiB; redirects and
    compressed answers are refused. ``interval`` None means the Endpoint Picker's refresh interval. For
    ``scheme`` https the certificate is checked against the endpoint's address, and only if
    ``insecure_skip_verify`` is false.

    Raises:
        ValueError: a parameter is out of range, or a certificate file cannot be used.
    """

    def __init__(
        self,
        scheme: str = "http",
        path: str = "/metrics",
        port: int | None = None,
        insecure_skip_verify: bool = True,
        ca_cert_path: str = "",
        client_cert_path: str = "",
        client_key_path: str = "",
        interval: timedelta | None = None,
    ) -> None:
        if scheme not in ("http", "https"):
            raise ValueError(f"scheme: must be http or https, got {scheme!r}")
        if not path.startswith("/"):
            raise ValueError(f"path: must begin with /, got {path!r}")
        if port is not None and not 0 < port < 2**16:
            raise ValueError(f"port: must be within 1 to 65535, got {port}")
        if interval is not None and interval <= timedelta():
            raise ValueError(f"interval: must be positive, got {interval}")
        self._scheme = scheme
        self._path = path
        self._port = port
        self._interval = interval
        self._ssl = (
            _tls_context(insecure_skip_verify, ca_cert_path, client_cert_path, client_key_path)
            if scheme == "https"
            else None
        )
        self._session: aiohttp.ClientSession | None = None

    @property
    def interval_seconds(self) -> float | None:
        """Seconds between two fetches of one endpoint; None means the refresh interval."""
        return None if self._interval is None else self._interval.total_seconds()

    async def fetch(self, endpoint: Endpoint) -> bytes:
        """The page.

        Raises:
            OSError: no connection, a status other than 200, or a page over 4 MiB.
            TimeoutError: the page was not complete after 1 s.
        """
        port = self._port or endpoint.attribute(METRICS_PORT) or endpoint.port
        session = self._session or self._open()
        try:
            async with session.get(
                _url(self._scheme, endpoint.address, port, self._path), allow_redirects=False
            ) as response:
                return await _bounded_page(response)
        except aiohttp.ClientError as error:
            raise OSError(f"{type(error).__name__}: {error}") from error

    async def close(self) -> None:
        """Closes the connections; a later fetch would open new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=True if self._ssl is None else self._ssl),
            timeout=aiohttp.ClientTimeout(total=TIME_LIMIT_SECONDS),
            headers=_HEADERS,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )
        return self._session


async def _bounded_page(response: aiohttp.ClientResponse) -> bytes:
    try:
        return await _checked_page(response)
    except OSError:
        response.close()  # what the endpoint still has to say is not read, so the connection is of no more use
        raise


async def _checked_page(response: aiohttp.ClientResponse) -> bytes:
    if response.status != _OK:
        raise OSError(f"status {response.status}")
    if (encoding := response.headers.get("Content-Encoding", "identity")) != "identity":
        raise OSError(f"content encoding {encoding[:40]!r}, which was not asked for")
    return await read_bounded(response, MAX_PAGE_BYTES)


@lru_cache(maxsize=4096)
def _url(scheme: str, address: str, port: int, path: str) -> URL:
    host = f"[{address}]" if ":" in address else address
    return URL(f"{scheme}://{host}:{port}{path}")


def _tls_context(insecure_skip_verify: bool, ca_path: str, cert_path: str, key_path: str) -> ssl.SSLContext:
    if key_path and not cert_path:
        raise ValueError("client_key_path: is of no use without client_cert_path")
    context = ssl.create_default_context()
    if insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    try:
        if ca_path:
            context.load_verify_locations(ca_path)
        if cert_path:
            context.load_cert_chain(cert_path, key_path or None)
    except OSError as error:  # ssl.SSLError is one
        raise ValueError(f"ca_cert_path, client_cert_path, client_key_path: cannot be used: {error}") from error
    return context


class SourceBinding(Protocol):
    """A source and the extractors that read its pages."""

    @property
    def source(self) -> Named[DataSource]:
        """Where pages come from."""
        ...

    @property
    def extractors(self) -> Sequence[Named[Extractor]]:
        """What reads them, in order."""
        ...


@dataclass(slots=True)
class ScrapeCounters:
    """Totals since the start: fetches, those that failed by source, and unreadable pages by source and extractor."""

    fetches: int = 0
    poll_errors: Counter[str] = field(default_factory=Counter)
    extract_errors: Counter[tuple[str, str]] = field(default_factory=Counter)


@dataclass(slots=True)
class _Site:
    """One endpoint at one address; ``failing`` holds the sources whose last fetch failed."""

    name: str
    host_port: str
    failing: set[int] = field(default_factory=set)


@dataclass(slots=True)
class _Target:
    """One endpoint at one source."""

    site: _Site
    source: int
    pace: Pace


class Scraper:
    """Keeps the store's metrics current from the given sources, which it does not close.

    Failures are counted and reported to the store, and end nothing. With several sources, an endpoint counts
    as failing when all of them fail for it, but for those with ``shows_health`` false, which do not count. A page that
    an extractor cannot read is a failure too.
    """

    def __init__(
        self,
        store: EndpointStore,
        bindings: Sequence[SourceBinding],
        clock: Callable[[], float],
        refresh_seconds: float,
        counters: ScrapeCounters,
        rng: Random,
    ) -> None:
        self._store = store
        self._bindings = tuple(bindings)
        self._clock = clock
        self._rng = rng
        self._counters = counters
        self._showing = frozenset(
            source
            for source, binding in enumerate(self._bindings)
            if getattr(binding.source.plugin, "shows_health", True)
        )
        own = (binding.source.plugin.interval_seconds for binding in self._bindings)
        self._intervals = [refresh_seconds if interval is None else interval for interval in own]
        self._round_seconds = min(self._intervals, default=refresh_seconds)
        self._targets: list[_Target] = []
        self._membership_changed = True

    async def run(self) -> None:
        """Scrapes until cancelled; then no fetch is left behind."""
        unsubscribe = self._store.on_membership_change(self._note_membership_change)
        try:
            async with asyncio.TaskGroup() as fetches:
                while True:
                    await self._round(fetches)
        finally:
            unsubscribe()

    def _note_membership_change(self) -> None:
        self._membership_changed = True

    async def _round(self, fetches: asyncio.TaskGroup) -> None:
        """Begins what is due within the round, evenly spread, so that the event loop never has a heap of pages."""
        chosen = most_overdue(self._due(), self._clock() + self._round_seconds, self._round_seconds)
        for target in chosen:
            target.pace.begun(self._clock())
            fetches.create_task(self._scrape(target))
            await asyncio.sleep(self._round_seconds / len(chosen))
        if not chosen:
            await asyncio.sleep(self._round_seconds)

    def _due(self) -> Iterator[tuple[float, _Target]]:
        endpoints = self._store.snapshot()
        if self._membership_changed:
            self._retarget(endpoints)
        sharers = len(self._targets)
        targets = iter(self._targets)
        for endpoint in endpoints:
            busy = _is_busy(endpoint)
            for _ in self._bindings:
                target = next(targets)
                yield target.pace.due(busy=busy, sharers=sharers), target

    def _retarget(self, endpoints: Sequence[Endpoint]) -> None:
        """Makes the targets those of the endpoints, source by source for each; known ones keep their pace."""
        known = {(target.site.name, target.site.host_port, target.source): target for target in self._targets}
        self._targets = []
        for endpoint in endpoints:
            first = known.get((endpoint.name, endpoint.host_port, 0))
            site = first.site if first else _Site(endpoint.name, endpoint.host_port)
            for source, interval in enumerate(self._intervals):
                target = known.get((endpoint.name, endpoint.host_port, source))
                self._targets.append(target or _Target(site, source, Pace(interval, self._clock(), self._rng)))
        self._membership_changed = False

    async def _scrape(self, target: _Target) -> None:
        problem: str | None = "cancelled"
        try:
            problem = await self._problem_of_scraping(target)
        finally:
            target.pace.ended(self._clock(), ok=problem is None)
        if self._current(target) is not None:
            self._report(target, problem)

    async def _problem_of_scraping(self, target: _Target) -> str | None:
        """Scrapes once; returns what went wrong, or None."""
        endpoint = self._current(target)
        if endpoint is None:
            return None
        binding = self._bindings[target.source]
        self._counters.fetches += 1
        try:
            async with asyncio.timeout(_FETCH_GUARD_SECONDS):
                with plugin_boundary(binding.source.name, ExtensionPoint.RUNNABLE):
                    page = await binding.source.plugin.fetch(endpoint)
        except (PluginError, TimeoutError) as error:
            self._counters.poll_errors[binding.source.name] += 1
            return _told(binding.source.name, error)
        return self._problem_of_reading(target, page)

    def _problem_of_reading(self, target: _Target, page: bytes) -> str | None:
        """Lets each extractor read the page; returns what the last that failed says, or None."""
        problem = None
        binding = self._bindings[target.source]
        for extractor in binding.extractors:
            endpoint = self._current(target)
            if endpoint is None:
                return None
            try:
                with plugin_boundary(extractor.name, ExtensionPoint.RUNNABLE):
                    metrics = extractor.plugin.extract(page, endpoint, self._clock())
            except PluginError as error:
                self._counters.extract_errors[binding.source.name, extractor.name] += 1
                problem = _told(extractor.name, error)
            else:
                self._store.update(endpoint.name, metrics)
        return problem

    def _current(self, target: _Target) -> Endpoint | None:
        """The endpoint as last reported; None when it left the pool or moved while a fetch was under way."""
        endpoint = self._store.reported(target.site.name)
        return endpoint if endpoint is not None and endpoint.host_port == target.site.host_port else None

    def _report(self, target: _Target, problem: str | None) -> None:
        site = target.site
        if target.source not in self._showing:
            return
        if problem is None:
            site.failing.discard(target.source)
            self._store.scrape_succeeded(site.name)
            return
        site.failing.add(target.source)
        if len(site.failing) == len(self._showing):
            self._store.scrape_failed(site.name, problem)


def _is_busy(endpoint: Endpoint) -> bool:
    metrics = endpoint.metrics
    return bool(endpoint.in_flight or metrics.running_requests or metrics.waiting_queue_size)


def _told(plugin: str, error: BaseException) -> str:
    cause = error.__cause__ or error
    if not isinstance(cause, OSError | ValueError):  # a defect of the plugin, not an outcome
        _log.debug("%s failed unexpectedly", plugin, exc_info=cause)
    return f"{plugin}: {str(cause) or type(cause).__name__}"
