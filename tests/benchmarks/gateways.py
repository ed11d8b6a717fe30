"""Envoys in front of one upstream: round robin alone, and with the picker in both body modes; and a lean client."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Self

from turnout.epp.demo.gateways import free_ports
from turnout.epp.gateway.options import Address, Balanced, Cluster, GatewayOptions, OverrideHost, RequestBodyMode
from turnout.epp.gateway.process import EnvoyProcess

from .children import Child, endpoint_picker, upstream
from .figures import BenchmarkError
from .pools import CHAT

LOOPBACK = "127.0.0.1"
ENDPOINTS = 4
ROUND_ROBIN, BUFFERED, FULL_DUPLEX = "round robin", "buffered", "full duplex"
_OK = b"200"


@dataclass(frozen=True, slots=True)
class Gateways:
    """Ports by the name of the mode, the picker behind them, and the upstream's addresses."""

    ports: Mapping[str, int]
    picker: Child
    upstreams: tuple[str, ...]


@contextlib.asynccontextmanager
async def gateways(*modes: str) -> AsyncIterator[Gateways]:
    """The Envoys of these modes, one worker thread each, with one picker on the default configuration."""
    async with contextlib.AsyncExitStack() as stack:
        addresses = await stack.enter_async_context(upstream(ENDPOINTS))
        arguments = [part for address in addresses for part in ("--endpoint", f"http://{address}")]
        picker = await stack.enter_async_context(endpoint_picker("--fallback-endpoints", "2", *arguments))
        endpoints = tuple(Address.parse(address) for address in addresses)
        ports = {}
        for mode in modes:
            options = _options(mode, endpoints, picker.announced["grpc_port"])
            await stack.enter_async_context(EnvoyProcess(options))
            ports[mode] = options.listen.port
        yield Gateways(ports, picker, addresses)


def _options(mode: str, endpoints: tuple[Address, ...], epp_port: int) -> GatewayOptions:
    cluster: Cluster = Balanced(endpoints, "round-robin") if mode == ROUND_ROBIN else OverrideHost(endpoints)
    return gateway_options(cluster, "full-duplex" if mode == FULL_DUPLEX else "buffered", epp_port)


def gateway_options(cluster: Cluster, body: RequestBodyMode, epp_port: int) -> GatewayOptions:
    """An Envoy on free ports of this machine."""
    port, admin = free_ports(2)
    listen, epp = Address(LOOPBACK, port), Address(LOOPBACK, epp_port)
    return GatewayOptions(cluster, listen=listen, admin_port=admin, epp=epp, request_body=body)


class Connection:
    """One kept-alive HTTP/1.1 connection that posts chats and reads answers of a known length."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def to(cls, port: int) -> Self:
        return cls(*await asyncio.open_connection(LOOPBACK, port))

    async def post(self, body: bytes) -> None:
        """Returns when the answer is complete.

        Raises:
            BenchmarkError: its status is not 200.
        """
        self._writer.write(request_bytes(body))
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        answer = await self._reader.readexactly(length)
        if head.split(b" ", 2)[1] != _OK:
            raise BenchmarkError(f"the gateway answered {head[:40]!r} {answer[:200]!r}")

    def start_hanging(self, body: bytes) -> None:
        """Sends a request that is never answered."""
        self._writer.write(request_bytes(body, "x-hang: 1"))

    def close(self) -> None:
        self._writer.close()


def request_bytes(body: bytes, *headers: str) -> bytes:
    fixed = ("host: gateway", "content-type: application/json", f"content-length: {len(body)}")
    return "\r\n".join((f"POST {CHAT} HTTP/1.1", *fixed, *headers, "", "")).encode() + body


@contextlib.asynccontextmanager
async def connections(port: int, count: int) -> AsyncIterator[list[Connection]]:
    """Connections to one port, closed at the end."""
    opened = [await Connection.to(port) for _ in range(count)]
    try:
        yield opened
    finally:
        for connection in opened:
            connection.close()
