"""A gateway and everything behind it, on free ports: a real Envoy, an Endpoint Picker, and a client of them."""

import asyncio
import io
import json
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import aiohttp
from multidict import CIMultiDictProxy

from epp.gateway.fakes import free_port
from turnout.epp.gateway.eds import EdsFile
from turnout.epp.gateway.options import Address, GatewayOptions, OverrideHost
from turnout.epp.gateway.process import EnvoyProcess
from turnout.epp.options import EppOptions
from turnout.epp.service import EndpointPicker, read_pipeline
from turnout.epp.up import FALLBACK_ENDPOINTS, UpOptions, gateway_options

LOOPBACK = "127.0.0.1"
CHAT = "/v1/chat/completions"
MODEL = "meta-llama/Llama-3.1-8B-Instruct"
POLL_SECONDS = 0.01

EPP = EppOptions(host=LOOPBACK, grpc_port=0, grpc_health_port=0, metrics_port=0, secure_serving=False)

Body = bytes | AsyncIterable[bytes] | None
Headers = Iterable[tuple[str, str]]


class Mode(StrEnum):
    """How bodies pass between Envoy and the Endpoint Picker."""

    BUFFERED = "buffered"
    FULL_DUPLEX = "full-duplex"


async def until(condition: Callable[[], Awaitable[bool]], what: str, seconds: float = 15.0) -> None:
    """Polls until the condition holds; fails with what was waited for."""
    try:
        async with asyncio.timeout(seconds):
            while not await condition():
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise AssertionError(f"not within {seconds:g} s: {what}") from None


def chat(prompt: str = "Hello", **more: object) -> bytes:
    """The body of a chat request."""
    messages = [{"role": "user", "content": prompt}]
    return json.dumps({"model": MODEL, "messages": messages, **more}).encode()


@dataclass(frozen=True)
class Answer:
    """What the client got."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def served(self) -> str:
        """The model server that answered, by its own word."""
        return self.headers.get("x-served-by", "")

    @property
    def json(self) -> Mapping[str, object]:
        document = json.loads(self.body)
        assert isinstance(document, dict)
        return document

    @property
    def error(self) -> Mapping[str, object]:
        """The error of an OpenAI-style refusal."""
        assert self.headers["content-type"] == "application/json"
        error = self.json["error"]
        assert isinstance(error, dict)
        assert set(error) == {"message", "type", "param", "code"}
        return error


class Pages:
    """The Endpoint Picker's admin pages."""

    def __init__(self, client: aiohttp.ClientSession, port: Callable[[], int]) -> None:
        self._client = client
        self._port = port

    async def get(self, path: str) -> Mapping[str, object]:
        """A JSON page."""
        async with self._client.get(f"http://{LOOPBACK}:{self._port()}{path}") as response:
            assert response.status == 200
            page = await response.json()
        assert isinstance(page, dict)
        return page

    async def metrics(self) -> str:
        async with self._client.get(f"http://{LOOPBACK}:{self._port()}/metrics") as response:
            assert response.status == 200
            return await response.text()

    async def endpoints(self) -> Sequence[Mapping[str, object]]:
        listed = (await self.get("/endpoints"))["endpoints"]
        assert isinstance(listed, list)
        return listed

    async def in_flight(self) -> int:
        counts = [endpoint["in_flight"] for endpoint in await self.endpoints()]
        return sum(count for count in counts if isinstance(count, int))

    async def in_service(self) -> dict[str, bool]:
        """By `ip:port`."""
        return {str(endpoint["address"]): endpoint["in_service"] is True for endpoint in await self.endpoints()}

    async def settled(self, seconds: float = 15.0) -> None:
        """Returns when no request is accounted any more."""

        async def settled() -> bool:
            return await self.in_flight() == 0

        await until(settled, "every request released", seconds)

    async def becomes(self, address: Address, *, in_service: bool) -> None:
        async def changed() -> bool:
            return (await self.in_service())[str(address)] is in_service

        await until(changed, f"{address} in service: {in_service}")


class Gateway:
    """One Envoy's port, seen by a client."""

    def __init__(self, client: aiohttp.ClientSession, port: int, admin_port: int, pages: Pages) -> None:
        self.port = port
        self._admin_port = admin_port
        self.client = client
        self.pages = pages

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    async def send(self, method: str, path: str = CHAT, body: Body = None, headers: Headers = ()) -> Answer:
        data = io.BytesIO(body) if body and isinstance(body, bytes) else body
        async with self.client.request(method, self.url + path, data=data, headers=list(headers)) as response:
            return Answer(response.status, response.headers, await response.read())

    async def chat(self, prompt: str = "Hello", headers: Headers = ()) -> Answer:
        return await self.send("POST", CHAT, chat(prompt), [("content-type", "application/json"), *headers])

    async def retries(self) -> int:
        """How often Envoy has tried another endpoint."""
        url = f"http://{LOOPBACK}:{self._admin_port}/stats?filter=cluster.model_servers.upstream_rq_retry$"
        async with self.client.get(url) as response:
            return int((await response.text()).rpartition(": ")[2])

    async def still_serves(self) -> None:
        """A good request is answered, and then nothing is accounted."""
        answer = await self.chat()
        assert (answer.status, answer.body[:1]) == (200, b"{")
        await self.pages.settled()


@dataclass
class World:
    """A gateway with an Endpoint Picker in this process."""

    gateway: Gateway
    picker: EndpointPicker
    envoy: EnvoyProcess
    eds: Path

    @property
    def pages(self) -> Pages:
        return self.gateway.pages


def envoy_options(mode: Mode, eds: Path, epp: EppOptions, grpc_port: int) -> GatewayOptions:
    """Buffered: what `turnout up` generates. Full duplex: the shipped file of that name."""
    up = UpOptions(listen=Address(LOOPBACK, free_port()), admin_port=free_port(), epp=epp)
    pipeline = read_pipeline(epp)
    options = gateway_options(up, pipeline, OverrideHost(eds), grpc_port)
    if mode is Mode.BUFFERED:
        assert options.request_body == ("full-duplex" if pipeline.defers else "buffered")
        body = "streamed" if pipeline.reads_first_piece else "none"
        assert (options.response_body, options.access_log) == (body, True)
        return options
    return replace(
        options,
        request_body="full-duplex",
        response_headers=True,
        response_body="full-duplex",
        access_log=False,
    )


@asynccontextmanager
async def world(mode: Mode, folder: Path, urls: Sequence[str], epp: EppOptions = EPP) -> AsyncIterator[World]:
    """Envoy and an Endpoint Picker in front of the URLs; without URLs, in front of what the configuration discovers."""
    eds = folder / "eds" / "endpoints.json"
    eds.parent.mkdir()
    EdsFile(eds).write(())
    options = replace(epp, endpoints=tuple(urls), eds_file=eds, fallback_endpoints=FALLBACK_ENDPOINTS)
    async with AsyncExitStack() as stack:
        picker = EndpointPicker(options, read_pipeline(options))
        await picker.start()
        stack.push_async_callback(picker.stop)
        gateway = envoy_options(mode, eds, options, picker.grpc_port)
        envoy = await stack.enter_async_context(EnvoyProcess(gateway))
        client = await stack.enter_async_context(http_client())
        pages = Pages(client, lambda: picker.metrics_port)
        yield World(Gateway(client, gateway.listen.port, gateway.admin_port, pages), picker, envoy, eds)


def http_client() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=30),
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
    )
