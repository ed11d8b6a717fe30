"""A gateway before simulated servers: all of it child processes, started together and stopped together."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from turnout.epp.demo.servers import Child

MODEL = "turnout-demo-8b"


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway in front of fresh servers. ``admin_url`` is None without an Endpoint Picker."""

    url: str
    admin_url: str | None
    server_urls: tuple[str, ...]


@contextlib.asynccontextmanager
async def started_gateway(
    servers: Sequence[Sequence[str]],
    arguments: Sequence[str],
    labels: Sequence[Mapping[str, str]] | None = None,
) -> AsyncIterator[Gateway]:
    """Starts a `turnout sim-server` for each of ``servers``, which are its arguments, and `turnout up` with
    ``arguments`` before them; stops all of it. ``labels`` are those of the endpoints, in the order of the servers, of
    which one process may run several.

    Raises:
        ChildError: one of them did not start.
    """
    async with contextlib.AsyncExitStack() as stack:
        started = await _started_servers(stack, servers)
        urls = tuple(url for server in started for url in _urls(server))
        endpoints = [_labelled(url, labels[place] if labels else {}) for place, url in enumerate(urls)]
        up = await stack.enter_async_context(_gateway_process(arguments, endpoints))
        admin = up.announced["admin_url"]
        yield Gateway(str(up.announced["url"]), None if admin is None else str(admin), urls)


async def _started_servers(stack: contextlib.AsyncExitStack, servers: Sequence[Sequence[str]]) -> list[Child]:
    starting = (stack.enter_async_context(_server(arguments)) for arguments in servers)
    # Waits for all of them even if one fails, so that the stack knows every process that is left to stop.
    outcomes = await asyncio.gather(*starting, return_exceptions=True)
    started = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return started


def _server(arguments: Sequence[str]) -> Child:
    return Child("sim-server", "--json", "--port", "0", "--model", MODEL, *arguments)


def _urls(server: Child) -> list[str]:
    return [str(url) for url in cast("Sequence[object]", server.announced["urls"])]


def _labelled(url: str, labels: Mapping[str, str]) -> str:
    return ",".join([url, *(f"{name}={value}" for name, value in labels.items())])


def _gateway_process(arguments: Sequence[str], endpoints: Sequence[str]) -> Child:
    port, envoy_admin = free_ports(2)
    named = [text for endpoint in endpoints for text in ("--endpoint", endpoint)]
    ports = ("--port", str(port), "--envoy-admin-port", str(envoy_admin), "--metrics-port", "0")
    return Child("up", "--json", "-v", "1", *ports, *named, *arguments)


def free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago: Envoy's must be known before it starts."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for bound in sockets:
            bound.bind(("127.0.0.1", 0))
        return [int(bound.getsockname()[1]) for bound in sockets]
