"""The configured picker behind a real Envoy: a waiting request has a running one of lower priority evicted."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from integration.gateways import CHAT, EPP, Gateway, Mode, chat, until, world
from turnout.epp.simulator.options import SimServerOptions
from turnout.epp.simulator.server import RunningSimServer, start_sim_server

pytestmark = pytest.mark.integration

ONE_AT_A_TIME = """\
apiVersion: turnout/v1
kind: EndpointPickerConfig
featureGates: [flowControl]
plugins:
- type: priority-level-classifier
  parameters: {header: x-level, requireKey: false}
- type: concurrency-detector
  parameters: {maxConcurrency: 1}
- type: queue-scorer
schedulingProfiles:
- name: default
  plugins: [{pluginRef: queue-scorer}]
flowControl:
  saturationDetector: {pluginRef: concurrency-detector}
  enableEviction: true
  maxEvictedShare: 1.0
"""
EVICTING = replace(EPP, config_text=ONE_AT_A_TIME)


@pytest.fixture
async def engine() -> AsyncIterator[RunningSimServer]:
    running = await start_sim_server(SimServerOptions(port=0, time_scale=0.1))
    yield running
    await running.close()


def post(gateway: Gateway, level: str, body: bytes) -> "asyncio.Task[aiohttp.ClientResponse]":
    return asyncio.create_task(gateway.client.post(gateway.url + CHAT, data=body, headers={"x-level": level}))


async def test_a_sheddable_request_makes_room_for_one_that_matters(
    mode: Mode, engine: RunningSimServer, tmp_path: Path
) -> None:
    async with world(mode, tmp_path, [engine.url], EVICTING) as running:
        gateway, pages = running.gateway, running.pages
        sheddable = post(gateway, "low", chat(max_tokens=30_000))

        async def is_running() -> bool:
            return await pages.in_flight() == 1

        await until(is_running, "the sheddable request in flight")
        async with await post(gateway, "high", chat(max_tokens=5)) as answer:
            assert answer.status == 200
        async with await sheddable as evicted:
            assert evicted.status == 429
            assert evicted.headers["x-llm-d-request-dropped-reason"] == "evicted"
        await pages.settled()


async def test_a_request_that_is_not_sheddable_is_waited_for(
    mode: Mode, engine: RunningSimServer, tmp_path: Path
) -> None:
    async with world(mode, tmp_path, [engine.url], EVICTING) as running:
        gateway, pages = running.gateway, running.pages
        first = post(gateway, "normal", chat(max_tokens=300))

        async def is_running() -> bool:
            return await pages.in_flight() == 1

        await until(is_running, "the first request in flight")
        async with await post(gateway, "high", chat(max_tokens=5)) as answer, await first as unharmed:
            assert (answer.status, unharmed.status) == (200, 200)
        await pages.settled()
