"""A real Envoy in every processing mode, with a client and an endpoint that show the bytes on the wire."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from epp.gateway.fakes import free_port
from turnout.epp.extproc.health import Readiness
from turnout.epp.extproc.server import ExtProcOptions, ExtProcServer
from turnout.epp.extproc.session import SessionOptions
from turnout.epp.gateway.binary import find_envoy
from turnout.epp.gateway.bootstrap import envoy_bootstrap, to_yaml
from turnout.epp.gateway.options import Address, GatewayOptions, OriginalDst
from turnout.epp.requests.exchange import RequestHandler

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n\r\nok"


@dataclass
class Message:
    """One HTTP/1.1 message as it was on the wire, its body without the chunk framing."""

    start: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    trailers: list[tuple[str, str]] = field(default_factory=list)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name]

    @property
    def status(self) -> int:
        return int(self.start.split()[1])


async def read_message(reader: asyncio.StreamReader, *, head_only: bool = False) -> Message:
    """Reads one message. Raises IncompleteReadError if the connection ends before it does."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
    message = Message(lines[0], [_pair(line) for line in lines[1:]])
    if head_only:
        return message
    if message.all("transfer-encoding") == ["chunked"]:
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            message.body += (await reader.readexactly(size + 2))[:-2]
        while line := (await reader.readuntil(b"\r\n")).decode()[:-2]:
            message.trailers.append(_pair(line))
    elif message.all("content-length"):
        message.body = await reader.readexactly(int(message.all("content-length")[0]))
    return message


def _pair(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name, value.strip()


@dataclass
class RawEndpoint:
    """Answers each request with ``answer``, byte for byte, and keeps what it received.

    The ``rest`` of an answer, if there is one, is sent when it may ``go_on``.
    """

    port: int = 0
    answer: bytes = OK
    received: asyncio.Queue[Message] = field(default_factory=asyncio.Queue)
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    rest: bytes = b""
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                message = await read_message(reader)
                self.received.put_nowait(message)
                writer.write(self.answer)
                await writer.drain()
                if self.rest:
                    await self.go_on.wait()
                    writer.write(self.rest)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.lost.set()
        finally:
            writer.close()


@asynccontextmanager
async def raw_endpoint() -> AsyncIterator[RawEndpoint]:
    endpoint = RawEndpoint()
    server = await asyncio.start_server(endpoint.serve, "127.0.0.1", 0)
    endpoint.port = server.sockets[0].getsockname()[1]
    try:
        yield endpoint
    finally:
        server.close()


@dataclass
class RawGateway:
    """A running Envoy: raw HTTP/1.1 on ``port``."""

    port: int
    epp: ExtProcServer

    async def send(self, *pieces: bytes, head_only: bool = False) -> Message:
        """Sends pieces one write each, on a connection of their own, and reads the answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            return await read_message(reader, head_only=head_only)
        finally:
            writer.close()

    async def post(self, body: bytes, *headers: str) -> Message:
        return await self.send(head("POST", f"content-length: {len(body)}", *headers) + body)


def head(method: str, *headers: str, path: str = "/v1/completions") -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "host: gateway", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1")


def chunked(data: bytes, size: int, *trailers: str) -> list[bytes]:
    """The body in chunks of a size, each its own write, then the trailers."""
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    end = "".join(f"{line}\r\n" for line in ("0", *trailers, ""))
    return [*(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces), end.encode()]


@asynccontextmanager
async def envoy_and_server(
    handler: RequestHandler,
    request_body: str,
    response_body: str = "NONE",
    *,
    session: SessionOptions | None = None,
    access_log: bool = False,
    retries: bool = True,
) -> AsyncIterator[RawGateway]:
    """Envoy with these body modes (its own names); headers and trailers are sent in any case."""
    settings = ExtProcOptions("127.0.0.1", 0, None, session or SessionOptions())
    server = ExtProcServer(handler, settings, Readiness(lambda: True))
    await server.start()
    port, admin = free_port(), free_port()
    gateway = GatewayOptions(
        OriginalDst(),
        Address("127.0.0.1", port),
        admin,
        Address("127.0.0.1", server.port),
        response_headers=True,
        response_body="streamed",
        access_log=access_log,
    )
    tree = _adapted(yaml.safe_load(to_yaml(envoy_bootstrap(gateway))), request_body, response_body, retries=retries)
    try:
        async with _envoy(yaml.safe_dump(tree), admin):
            yield RawGateway(port, server)
    finally:
        await server.stop()


def _adapted(tree: Any, request_body: str, response_body: str, *, retries: bool) -> Any:
    manager = tree["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    # Here the EPP alone has to deal with forged headers.
    del manager["early_header_mutation_extensions"]
    manager["http_protocol_options"] = {"enable_trailers": True}
    if not retries:
        del manager["route_config"]["virtual_hosts"][0]["routes"][0]["route"]["retry_policy"]
    mode = manager["http_filters"][0]["typed_config"]["processing_mode"]
    mode.update(request_body_mode=request_body, response_body_mode=response_body)
    mode.update(request_trailer_mode="SEND", response_trailer_mode="SEND")
    upstream = tree["static_resources"]["clusters"][0]["typed_extension_protocol_options"]
    for options in upstream.values():
        options["explicit_http_config"]["http_protocol_options"] = {"enable_trailers": True}
    return tree


@asynccontextmanager
async def _envoy(config: str, admin: int) -> AsyncIterator[None]:
    with tempfile.TemporaryDirectory(prefix="turnout-test-") as folder:
        path, log_path = Path(folder, "envoy.yaml"), Path(folder, "envoy.log")
        path.write_text(config)
        arguments = ("-c", path, "--concurrency", "1", "--use-dynamic-base-id", "-l", "warning")
        with log_path.open("wb") as log:
            child = await asyncio.create_subprocess_exec(find_envoy(), *arguments, stdout=log, stderr=log)
        try:
            await _ready(admin, child)
            yield
        finally:
            if child.returncode is None:
                child.kill()
            await child.wait()


async def _ready(admin: int, child: asyncio.subprocess.Process) -> None:
    async with aiohttp.ClientSession() as client:
        while child.returncode is None:
            try:
                async with client.get(f"http://127.0.0.1:{admin}/ready") as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.02)
    raise AssertionError(f"Envoy ended with {child.returncode}")
