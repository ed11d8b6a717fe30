"""Documents that each host of the pool has: one feed for each, begun and ended as endpoints come and go."""

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Generic, TypeVar
from zlib import crc32

from turnout.framework import Endpoint, Finding, WallClock
from turnout.plugins.feeds.feed import Feed
from turnout.plugins.feeds.source import FeedSource

T = TypeVar("T")

MAX_HOSTS = 4_096
MAX_AT_ONCE = 128
"""Hosts that are asked at the same time: each takes a socket, and one that hangs its whole timeout."""

# A DNS name: a label must not lead to another path or server than the one that is meant.
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?", re.ASCII)


@dataclass(frozen=True, slots=True)
class HostPages:
    """A page of every host. In ``url`` stands ``{host}`` for the name of the endpoint's host, or ``{address}`` for the
    address of the endpoint.

    Every page is asked for each ``interval``, has to answer within ``timeout``, and is not taken if it has more than
    ``max_bytes``.

    Raises:
        ValueError: ``url`` has not exactly one of the two, or a bound makes no sense.
    """

    url: str
    interval: timedelta = timedelta(seconds=10)
    timeout: timedelta = timedelta(seconds=5)
    max_bytes: int = 4 * 2**20

    def __post_init__(self) -> None:
        if self.url.count("{host}") + self.url.count("{address}") != 1:
            raise ValueError(f"url must have either {{host}} or {{address}} in it, got {self.url!r}")
        self._source("host")

    def where(self, endpoint: Endpoint, host: str) -> str:
        """What the page depends on: the same page for all endpoints of which this is the same."""
        return endpoint.address if "{address}" in self.url else host

    def source(self, endpoint: Endpoint, host: str) -> FeedSource | None:
        """Where the page of the endpoint's host is; None if that cannot be told."""
        if "{address}" in self.url:
            return self._source(f"[{endpoint.address}]" if ":" in endpoint.address else endpoint.address)
        return self._source(host) if _HOST.fullmatch(host) else None

    def _source(self, name: str) -> FeedSource:
        url = self.url.replace("{host}", name).replace("{address}", name)
        return FeedSource(url=url, interval=self.interval, timeout=self.timeout, max_bytes=self.max_bytes)


class HostFeeds(Generic[T]):
    """Follows the pages of all hosts of a pool. ``changed`` hears of the endpoints whose page was looked at.

    ``parse`` is that of a ``Feed``: pure, in a thread, and raising ``ValueError`` for a page that is not good. It is
    also given the value before, if there is one.
    """

    def __init__(
        self,
        pages: HostPages,
        parse: Callable[[bytes, T | None], T],
        clock: WallClock,
        max_age: timedelta,
        changed: Callable[[Sequence[str]], None],
    ) -> None:
        self._pages = pages
        self._parse = parse
        self._clock = clock
        self._max_age = max_age
        self._told = changed
        self._feeds: dict[str, Feed[T]] = {}
        self._endpoints: dict[str, list[str]] = {}
        self._by_endpoint: dict[str, Feed[T]] = {}
        self._left_out = 0
        self._membership = asyncio.Event()
        self._turns = asyncio.Semaphore(MAX_AT_ONCE)
        # One page at a time, so that those of a large pool do not take the interpreter from the loop all at once, and
        # one that takes long holds up no other work for threads.
        self._parsing = ThreadPoolExecutor(1, "host-pages")

    def follow(self, hosts: Iterable[tuple[Endpoint, str]]) -> None:
        """From now on these endpoints, on hosts with these names, are all there are."""
        feeds: dict[str, Feed[T]] = {}
        endpoints: dict[str, list[str]] = {}
        left_out: set[str] = set()
        sources: dict[str, FeedSource | None] = {}
        for endpoint, host in hosts:
            where = self._pages.where(endpoint, host)
            if where not in sources:
                sources[where] = self._pages.source(endpoint, host)
            source = sources[where]
            if source is None:
                continue
            if source.url not in feeds and len(feeds) >= MAX_HOSTS:
                left_out.add(source.url)
                continue
            feeds[source.url] = feeds.get(source.url) or self._feeds.get(source.url) or self._feed(source)
            endpoints.setdefault(source.url, []).append(endpoint.name)
        self._feeds, self._endpoints, self._left_out = feeds, endpoints, len(left_out)
        self._by_endpoint = {name: feeds[url] for url, names in endpoints.items() for name in names}
        self._membership.set()

    def value(self, endpoint_name: str) -> T | None:
        """What the page of the endpoint's host last said, however old."""
        feed = self._by_endpoint.get(endpoint_name)
        return None if feed is None else feed.value

    def fresh(self, endpoint_name: str, now: float) -> T | None:
        """The same, unless it is too old."""
        feed = self._by_endpoint.get(endpoint_name)
        return None if feed is None else feed.fresh(now)

    def findings(self, now: float) -> Iterable[Finding]:
        """What is wrong with the pages, each told for the first endpoint of its host."""
        for url, feed in self._feeds.items():
            for finding in feed.findings(now):
                yield Finding(finding.cause, finding.message, self._endpoints[url][0])
        if self._left_out:
            yield Finding("too-many-hosts", f"{self._left_out} of more than {MAX_HOSTS} hosts are not asked")

    def counts(self, now: float) -> Mapping[str, int]:
        """How many hosts have a page that is fresh, stale, or was never read."""
        known = [feed for feed in self._feeds.values() if feed.value is not None]
        stale = sum(feed.is_stale(now) for feed in known)
        return {"fresh": len(known) - stale, "stale": stale, "missing": len(self._feeds) - len(known)}

    async def run(self) -> None:
        """Asks all of them, until cancelled."""
        asking: dict[Feed[T], asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._membership.clear()
                wanted = {feed: url for url, feed in self._feeds.items()}
                for feed in asking.keys() - wanted.keys():
                    asking.pop(feed).cancel()
                for feed in wanted.keys() - asking.keys():
                    url = wanted[feed]
                    looking = feed.run(partial(self._looked, url), self._turns, crc32(url.encode()) / 2**32)
                    asking[feed] = tasks.create_task(looking)
                await self._membership.wait()

    def _feed(self, source: FeedSource) -> Feed[T]:
        def parse(content: bytes) -> T:
            return self._parse(content, feed.value)

        feed = Feed(source, parse, self._clock, self._max_age, self._parsing)
        return feed

    def _looked(self, url: str) -> None:
        self._told(tuple(self._endpoints.get(url, ())))
