import asyncio
import contextlib
import gzip
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from turnout.epp.datalayer.engines import CoreMetricsExtractor
from turnout.epp.datalayer.record import METRICS_PORT
from turnout.epp.datalayer.scraper import MetricsDataSource, ScrapeCounters, Scraper
from turnout.epp.datalayer.store import EndpointStore
from turnout.framework import DataSource, Endpoint, EndpointMetrics, EndpointSpec, Extractor, Named

PAGE = b"vllm:num_requests_running 3\n"
Serve = Callable[[Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]], Awaitable[int]]


def answer(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@dataclass
class Scripted:
    """A server that answers every request with the same bytes, and counts."""

    reply: bytes
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while True:
            self.requests.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(self.reply)
            await writer.drain()


@dataclass
class Endless:
    """A server that begins an answer and never ends it; ``closed`` is set when the client hangs up."""

    head: bytes
    part: bytes
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(self.head)
        try:
            while True:
                writer.write(self.part)
                await writer.drain()
        finally:
            self.closed.set()


@pytest.fixture
async def source() -> AsyncIterator[MetricsDataSource]:
    source = MetricsDataSource()
    yield source
    await source.close()


def at(port: int, address: str = "127.0.0.1") -> Endpoint:
    return Endpoint("default/a", address, port)


async def test_fetches_over_one_connection_and_asks_for_plain_text(serve: Serve, source: MetricsDataSource) -> None:
    server = Scripted(answer(PAGE))
    endpoint = at(await serve(server))
    assert [await source.fetch(endpoint) for _ in range(3)] == [PAGE] * 3
    assert server.connections == 1
    assert server.requests[0].startswith(b"GET /metrics HTTP/1.1\r\n")
    assert b"Accept-Encoding: identity\r\n" in server.requests[0]


async def test_fetches_from_an_ipv6_address(source: MetricsDataSource) -> None:
    server = await asyncio.start_server(Scripted(answer(PAGE)), "::1", 0)
    async with server:
        assert await source.fetch(at(server.sockets[0].getsockname()[1], "::1")) == PAGE
        await source.close()


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        pytest.param(answer(b"", "500 Internal Server Error"), "status 500", id="server error"),
        pytest.param(answer(b"", "302 Found", "Location: http://192.0.2.1/"), "status 302", id="redirect"),
        pytest.param(
            answer(gzip.compress(bytes(10_000_000)), "200 OK", "Content-Encoding: gzip"),
            "content encoding 'gzip', which was not asked for",
            id="compressed bomb",
        ),
        pytest.param(b"SSH-2.0-OpenSSH_9.9\r\n", "BadStatusLine|ServerDisconnected|Expected HTTP", id="not HTTP"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000, "LineTooLong|Got more than", id="endless header"),
    ],
)
async def test_refuses_an_improper_answer(serve: Serve, source: MetricsDataSource, reply: bytes, problem: str) -> None:
    with pytest.raises(OSError, match=problem):
        await source.fetch(at(await serve(Scripted(reply))))


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
HUNDRED_MB = b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "part"),
    [
        pytest.param(HUNDRED_MB, b"m 1\n" * 16384, id="a page of 100 MB"),
        pytest.param(CHUNKED, b"10000\r\n" + b"m 1\n" * 16384 + b"\r\n", id="an endless page"),
        pytest.param(b"HTTP/1.0 200 OK\r\n\r\n", b"m 1\n" * 16384, id="an endless page without a length"),
    ],
)
async def test_a_page_over_four_mebibytes_is_cut_off_and_the_connection_closed(
    serve: Serve, source: MetricsDataSource, head: bytes, part: bytes
) -> None:
    server = Endless(head, part)
    with pytest.raises(OSError, match="body is over 4194304 bytes"):
        await source.fetch(at(await serve(server)))
    await server.closed.wait()


async def test_a_server_that_hangs_is_given_up(serve: Serve, source: MetricsDataSource) -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await source.fetch(at(await serve(hang)))


async def test_a_server_that_resets_is_an_error(serve: Serve, source: MetricsDataSource) -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nm")
        writer.transport.abort()

    with pytest.raises(OSError, match=r"Disconnected|reset|Payload|disconnected"):
        await source.fetch(at(await serve(reset)))


async def test_a_closed_port_is_an_error(source: MetricsDataSource) -> None:
    async with await asyncio.start_server(Scripted(b""), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
    with pytest.raises(OSError, match="Cannot connect"):
        await source.fetch(at(port))


async def test_the_metrics_port_is_the_configured_one_or_the_discovered_one(serve: Serve) -> None:
    port = await serve(Scripted(answer(PAGE)))
    discovered = Endpoint("default/a", "127.0.0.1", 1, attributes={METRICS_PORT: port})
    for source, endpoint in ((MetricsDataSource(port=port), at(1)), (MetricsDataSource(), discovered)):
        assert await source.fetch(endpoint) == PAGE
        await source.close()


def certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    san = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
        .add_extension(san, critical=False)
        .sign(key, hashes.SHA256())
    )
    no_password = serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    (folder / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, no_password))
    (folder / "cert.pem").write_bytes(signed.public_bytes(pem))
    return folder / "cert.pem", folder / "key.pem"


async def test_https_is_checked_only_when_asked_for(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    trusting = MetricsDataSource(scheme="https")
    checking = MetricsDataSource(scheme="https", insecure_skip_verify=False)
    knowing = MetricsDataSource(scheme="https", insecure_skip_verify=False, ca_cert_path=str(cert))

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer(PAGE, "200 OK", "Connection: close"))
        writer.close()

    async with await asyncio.start_server(reply, "127.0.0.1", 0, ssl=context) as server:
        endpoint = at(server.sockets[0].getsockname()[1])
        assert await trusting.fetch(endpoint) == PAGE
        assert await knowing.fetch(endpoint) == PAGE
        with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
            await checking.fetch(endpoint)
        for source in (trusting, checking, knowing):
            await source.close()


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        pytest.param({"scheme": "ftp"}, "scheme: must be http or https, got 'ftp'", id="scheme"),
        pytest.param({"path": "metrics"}, "path: must begin with /", id="path"),
        pytest.param({"port": 65536}, "port: must be within 1 to 65535, got 65536", id="port"),
        pytest.param({"interval": timedelta(0)}, "interval: must be positive", id="interval"),
        pytest.param({"scheme": "https", "client_key_path": "k"}, "client_key_path", id="key without certificate"),
        pytest.param({"scheme": "https", "ca_cert_path": "/absent"}, "ca_cert_path", id="absent file"),
    ],
)
def test_refuses_wrong_parameters(parameters: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        MetricsDataSource(**parameters)


def test_the_interval_is_in_seconds() -> None:
    assert MetricsDataSource(interval=timedelta(milliseconds=250)).interval_seconds == 0.25
    assert MetricsDataSource().interval_seconds is None


# --- the scraper -----------------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Pages:
    """A source that hands out what it is told to, and lets a fetch be awaited. Each fetch takes half a second."""

    clock: Clock
    outcome: bytes | Exception = PAGE
    interval_seconds: float | None = None
    fetched: asyncio.Event = field(default_factory=asyncio.Event)
    fetches: int = 0
    closed: bool = False

    async def fetch(self, endpoint: Endpoint) -> bytes:
        self.fetches += 1
        self.clock.now += 0.5
        self.fetched.set()
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    async def close(self) -> None:
        self.closed = True

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self.fetched.clear()
            await self.fetched.wait()


class Broken:
    def extract(self, page: bytes, endpoint: Endpoint, now: float) -> EndpointMetrics:
        raise KeyError("nothing that the contract allows")


@dataclass
class Binding:
    source: Named[DataSource]
    extractors: Sequence[Named[Extractor]]


def bound(source: DataSource, extractor: Extractor | None = None, name: str = "source") -> Binding:
    return Binding(Named(source, name), (Named(extractor or CoreMetricsExtractor(), "extractor"),))


@dataclass
class Bench:
    clock: Clock = field(default_factory=Clock)
    counters: ScrapeCounters = field(default_factory=ScrapeCounters)

    def __post_init__(self) -> None:
        self.store = EndpointStore(self.clock)
        self.store.replace([EndpointSpec("default/a", "10.0.0.1", 8000, {}), EndpointSpec("default/b", "::1", 1, {})])

    @contextlib.asynccontextmanager
    async def scraping(self, *bindings: Binding) -> AsyncIterator[None]:
        scraper = Scraper(self.store, bindings, self.clock, 0.001, self.counters, Random(1))
        task = asyncio.create_task(scraper.run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def running(self) -> list[int]:
        return [endpoint.metrics.running_requests for endpoint in self.store.snapshot()]

    def out_of_service(self) -> dict[str, str]:
        return {status.name: status.reason for status in self.store.statuses() if not status.in_service}


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_what_is_scraped_reaches_the_store(bench: Bench) -> None:
    pages = Pages(bench.clock)
    async with bench.scraping(bound(pages)):
        await pages.until(lambda: bench.running() == [3, 3])
        pages.outcome = b"vllm:num_requests_running 5\n"
        await pages.until(lambda: bench.running() == [5, 5])
    assert bench.counters.fetches == pages.fetches
    assert not bench.counters.poll_errors


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        pytest.param(OSError("refused"), "source: refused", id="no connection"),
        pytest.param(TimeoutError(), "source: TimeoutError", id="time limit"),
        pytest.param(KeyError("x"), "source: 'x'", id="a source that breaks its contract"),
        pytest.param(b"<html>", "extractor: not an exposition: neither comment nor sample: '<html>'", id="garbage"),
    ],
)
async def test_an_endpoint_that_cannot_be_scraped_is_taken_out_and_brought_back(
    bench: Bench, outcome: bytes | Exception, reason: str
) -> None:
    pages = Pages(bench.clock, outcome)
    async with bench.scraping(bound(pages)):
        await pages.until(lambda: bench.out_of_service() == {"default/a": reason, "default/b": reason})
        pages.outcome = PAGE
        await pages.until(lambda: bench.out_of_service() == {})
    errors = bench.counters.poll_errors["source"] + bench.counters.extract_errors["source", "extractor"]
    assert errors >= 6


async def test_an_extractor_that_breaks_its_contract_is_counted_and_ends_nothing(bench: Bench) -> None:
    pages = Pages(bench.clock)
    async with bench.scraping(bound(pages, Broken())):
        await pages.until(lambda: bench.counters.extract_errors["source", "extractor"] >= 4)


async def test_an_endpoint_is_failing_only_when_all_its_sources_are(bench: Bench) -> None:
    good, bad = Pages(bench.clock), Pages(bench.clock, OSError("refused"))
    async with bench.scraping(bound(good, name="good"), bound(bad, name="bad")):
        await bad.until(lambda: bench.counters.poll_errors["bad"] >= 12)
        assert bench.out_of_service() == {}
        good.outcome = OSError("refused too")
        await good.until(lambda: len(bench.out_of_service()) == 2)


async def test_a_source_that_asks_something_else_says_nothing_about_the_health_of_an_endpoint(bench: Bench) -> None:
    class Exporter(Pages):
        shows_health = False

    engine, exporter = Pages(bench.clock, OSError("refused")), Exporter(bench.clock)
    async with bench.scraping(bound(engine, name="engine"), bound(exporter, name="exporter")):
        await engine.until(lambda: len(bench.out_of_service()) == 2)
        assert bench.out_of_service()["default/a"] == "engine: refused"
        fetches = exporter.fetches
        await exporter.until(lambda: exporter.fetches >= fetches + 4)
        assert len(bench.out_of_service()) == 2
        engine.outcome, exporter.outcome = PAGE, OSError("refused")
        await engine.until(lambda: bench.out_of_service() == {})
        await exporter.until(lambda: bench.counters.poll_errors["exporter"] >= 12)
        assert bench.out_of_service() == {}


async def test_each_source_has_its_own_interval(bench: Bench) -> None:
    fast, slow = Pages(bench.clock), Pages(bench.clock, interval_seconds=1e6)
    async with bench.scraping(bound(fast), bound(slow)):
        await fast.until(lambda: fast.fetches >= 20)
    assert slow.fetches <= 2


async def test_an_endpoint_that_joins_is_scraped_and_one_that_left_is_not(bench: Bench) -> None:
    pages = Pages(bench.clock)
    async with bench.scraping(bound(pages)):
        await pages.until(lambda: bench.running() == [3, 3])
        bench.store.replace([EndpointSpec("default/c", "10.0.0.3", 8000, {})])
        await pages.until(lambda: bench.running() == [3])


async def test_a_page_of_an_address_that_the_endpoint_has_left_is_dropped(bench: Bench) -> None:
    class Moving(Pages):
        async def fetch(self, endpoint: Endpoint) -> bytes:
            page = await super().fetch(endpoint)
            if endpoint.address == "10.0.0.1":
                bench.store.replace([EndpointSpec(endpoint.name, "10.0.0.2", 8000, {})])
                return b"vllm:kv_cache_usage_perc 0.5\n"
            return page

    pages = Moving(bench.clock)
    async with bench.scraping(bound(pages)):
        await pages.until(lambda: bench.running() == [3])
    (endpoint,) = bench.store.snapshot()
    assert (endpoint.address, endpoint.metrics.kv_cache_utilization) == ("10.0.0.2", 0.0)


async def test_requests_that_the_engine_has_not_reported_are_not_taken_for_its_report(bench: Bench) -> None:
    pages = Pages(bench.clock, b"vllm:num_requests_running 0\n")
    for _ in range(4):
        bench.store.dispatched("default/a")
    async with bench.scraping(bound(pages)):
        await pages.until(lambda: pages.fetches >= 8)
    assert bench.store.snapshot()[0].metrics.waiting_queue_size == 4


async def test_cancelling_ends_the_fetches_under_way(bench: Bench) -> None:
    class Hanging(Pages):
        ended = 0

        async def fetch(self, endpoint: Endpoint) -> bytes:
            await super().fetch(endpoint)
            try:
                await asyncio.Event().wait()
            finally:
                self.ended += 1
            return b""

    pages = Hanging(bench.clock)
    async with bench.scraping(bound(pages)):
        await pages.until(lambda: pages.fetches == 2)
    assert pages.ended == 2
    assert bench.out_of_service() == {}
    assert asyncio.all_tasks() == {asyncio.current_task()}
