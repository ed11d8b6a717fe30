import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from random import Random

import pytest

from turnout.epp.datalayer.discovery.resolve import Resolver
from turnout.epp.datalayer.discovery.static import StaticDiscovery
from turnout.epp.datalayer.engines import CoreMetricsExtractor
from turnout.epp.datalayer.layer import DataLayer
from turnout.epp.datalayer.scraper import MetricsDataSource
from turnout.epp.datalayer.store import EndpointStore
from turnout.framework import DataSource, Endpoint, EndpointDiscovery, EndpointSpec, Extractor, Named

PAGE = b"vllm:num_requests_running 3\n"
Serve = Callable[[Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]], Awaitable[int]]


@dataclass
class Binding:
    source: Named[DataSource]
    extractors: Sequence[Named[Extractor]]


def bound(source: DataSource) -> Binding:
    return Binding(Named(source, "metrics"), (Named(CoreMetricsExtractor(), "core"),))


@dataclass
class Pages:
    """A source with one page; ``told`` is set by each fetch and by closing."""

    page: bytes = PAGE
    closed: bool = False
    told: asyncio.Event = field(default_factory=asyncio.Event)
    interval_seconds: float | None = None

    async def fetch(self, endpoint: Endpoint) -> bytes:
        self.told.set()
        if not self.page:
            raise OSError("refused")
        return self.page

    async def close(self) -> None:
        self.closed = True
        self.told.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self.told.clear()
            await self.told.wait()


@dataclass
class Queued:
    """A discovery that publishes what is put into its queue."""

    listings: asyncio.Queue[Sequence[EndpointSpec]] = field(default_factory=asyncio.Queue)

    async def discover(self, publish: Callable[[Sequence[EndpointSpec]], Awaitable[None]]) -> None:
        while True:
            await publish(await self.listings.get())
            self.listings.task_done()


async def addresses_of(host: str) -> Sequence[str]:
    if host != "known":
        raise OSError("unknown host")
    return ["10.0.0.7"]


def layer_of(discovery: EndpointDiscovery, *sources: Binding, clock: Callable[[], float] | None = None) -> DataLayer:
    clock = clock or asyncio.get_running_loop().time
    store = EndpointStore(clock)
    return DataLayer(store, Named(discovery), sources, clock, resolver=Resolver(addresses_of), rng=Random(1))


@contextlib.asynccontextmanager
async def running(layer: DataLayer) -> AsyncIterator[None]:
    task = asyncio.create_task(layer.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def spec(name: str, address: str = "10.0.0.1", port: int = 8000) -> EndpointSpec:
    return EndpointSpec(name, address, port, {})


def running_requests(layer: DataLayer) -> list[int]:
    return [endpoint.metrics.running_requests for endpoint in layer.store.snapshot()]


async def test_is_ready_with_the_first_listing_resolved() -> None:
    discovery = Queued()
    layer = layer_of(discovery)
    async with running(layer):
        assert not layer.ready.is_set()
        await discovery.listings.put([spec("a"), spec("b", "known"), spec("c", "unknown")])
        await layer.ready.wait()
        assert [(one.name, one.address) for one in layer.store.snapshot()] == [("a", "10.0.0.1"), ("b", "10.0.0.7")]
        await discovery.listings.put([])
        await discovery.listings.join()
        assert layer.store.snapshot() == ()


async def test_scrapes_the_discovered_endpoints_and_closes_the_source() -> None:
    pages = Pages()
    layer = layer_of(StaticDiscovery([spec("a"), spec("b")]), bound(pages))
    async with running(layer):
        await pages.until(lambda: running_requests(layer) == [3, 3])
    assert pages.closed
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_new_sources_take_over_and_the_old_ones_are_closed() -> None:
    old, new = Pages(), Pages(b"vllm:num_requests_running 5\n")
    layer = layer_of(StaticDiscovery([spec("a")]), bound(old))
    async with running(layer):
        await old.until(lambda: running_requests(layer) == [3])
        layer.configure([bound(new)])
        await new.until(lambda: running_requests(layer) == [5])
        assert (old.closed, new.closed) == (True, False)


async def test_without_sources_what_scraping_took_out_is_back() -> None:
    loop = asyncio.get_running_loop()
    bad = Pages(b"")
    # A hundred times as fast, so that a second of failing passes at once.
    layer = layer_of(StaticDiscovery([spec("a"), spec("b")]), bound(bad), clock=lambda: 100.0 * loop.time())
    async with running(layer):
        await layer.ready.wait()
        await bad.until(lambda: not any(status.in_service for status in layer.store.statuses()))
        layer.configure([])
        await bad.until(lambda: bad.closed)
        await asyncio.sleep(0)
        assert all(status.in_service for status in layer.store.statuses())


async def test_an_invalid_first_listing_is_raised() -> None:
    class Invalid:
        async def discover(self, publish: Callable[[Sequence[EndpointSpec]], Awaitable[None]]) -> None:
            raise ValueError("endpoints[0].name: expected a text")

    pages = Pages()
    with pytest.raises(ValueError, match="expected a text"):
        await layer_of(Invalid(), bound(pages)).run()
    assert pages.closed


def reply(body: bytes) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


async def good(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.readuntil(b"\r\n\r\n"):
        writer.write(reply(PAGE))


async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.readuntil(b"\r\n\r\n"):
        writer.write(reply(b"<html>\x00\xff"))


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(b"m 1\n" * 16384)
        await writer.drain()


async def hanging(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def resetting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def test_bad_servers_are_taken_out_and_the_good_one_is_kept_current(serve: Serve) -> None:
    handlers = (good, garbage, endless, hanging, resetting)
    specs = [spec(handler.__name__, "127.0.0.1", await serve(handler)) for handler in handlers]
    loop = asyncio.get_running_loop()
    layer = layer_of(StaticDiscovery(specs), bound(MetricsDataSource()), clock=lambda: 20.0 * loop.time())
    went_out = asyncio.Event()

    async def watch() -> None:
        while [one.name for one in layer.store.candidates()] != ["good"]:
            await asyncio.sleep(0.01)
        went_out.set()

    async with running(layer), asyncio.TaskGroup() as tasks:
        tasks.create_task(watch())
        await went_out.wait()
    assert layer.store.candidates()[0].metrics.running_requests == 3
    assert layer.counters.poll_errors["metrics"] >= 9
    assert layer.counters.extract_errors["metrics", "core"] >= 3
