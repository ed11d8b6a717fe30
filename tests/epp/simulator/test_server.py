import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Sequence

import aiohttp
import pytest

from turnout.epp.simulator.options import SimServerOptions
from turnout.epp.simulator.server import RunningSimServer, serve_sim_servers, start_sim_server

Start = Callable[..., Awaitable[RunningSimServer]]


async def test_a_closed_server_frees_its_port_and_cuts_answers_in_progress(
    start: Start, client: aiohttp.ClientSession
) -> None:
    server = await start(time_scale=1.0)
    body = {"prompt": "x", "max_tokens": 30_000, "stream": True}
    async with client.post(f"{server.url}/v1/completions", json=body) as response:
        await response.content.readany()
        await server.close()
        with pytest.raises(aiohttp.ClientError):
            await response.read()
    with socket.create_server(("127.0.0.1", server.port)):
        pass


@pytest.mark.parametrize("taken", [pytest.param("port", id="HTTP"), pytest.param("kv_events_port", id="KV events")])
async def test_a_taken_port_is_an_error_that_leaves_nothing_behind(taken: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ports = {"port": 0, taken: listener.getsockname()[1]}
        options = SimServerOptions(port=ports["port"], kv_events_port=ports.get("kv_events_port"))
        with pytest.raises(OSError, match=r"(?i)address already in use"):
            await start_sim_server(options)


async def test_serving_ends_with_sigterm() -> None:
    ready: list[str] = []

    def stop(servers: Sequence[RunningSimServer]) -> None:
        ready.extend(server.url for server in servers)
        os.kill(os.getpid(), signal.SIGTERM)

    several = [SimServerOptions(port=0), SimServerOptions(port=0)]
    await asyncio.wait_for(serve_sim_servers(several, on_ready=stop), timeout=30)
    assert len(set(ready)) == 2


async def test_servers_that_started_before_one_that_cannot_are_stopped() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        free, taken = SimServerOptions(port=0), SimServerOptions(port=listener.getsockname()[1])
        with pytest.raises(OSError, match=r"(?i)address already in use"):
            await serve_sim_servers([free, taken])
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []
