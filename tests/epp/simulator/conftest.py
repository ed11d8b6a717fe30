from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest

from turnout.epp.simulator.faults import Fault
from turnout.epp.simulator.kv_links import KvLinks
from turnout.epp.simulator.options import SimServerOptions
from turnout.epp.simulator.server import RunningSimServer, start_sim_server

Start = Callable[..., Awaitable[RunningSimServer]]


@pytest.fixture
async def crashes() -> list[str]:
    """Grows by one entry for each simulated crash."""
    return []


@pytest.fixture
async def start(crashes: list[str]) -> AsyncIterator[Start]:
    """Starts servers a hundred times faster than real time, on free ports, and closes them."""
    running: list[RunningSimServer] = []

    async def start_one(
        *,
        lora_names: tuple[str, ...] = (),
        max_model_len: int = 32_768,
        time_scale: float = 0.01,
        events: bool = False,
        fault: Fault | None = None,
        kv_links: KvLinks | None = None,
    ) -> RunningSimServer:
        port = 0 if events else None
        options = SimServerOptions(
            model="tiny",
            port=0,
            time_scale=time_scale,
            lora_names=lora_names,
            max_model_len=max_model_len,
            kv_events_port=port,
            kv_replay_port=port,
            fault=fault or Fault(),
            kv_links=kv_links,
        )
        server = await start_sim_server(options, crash=lambda: crashes.append("crash"))
        running.append(server)
        return server

    yield start_one
    for server in running:
        await server.close()


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session
