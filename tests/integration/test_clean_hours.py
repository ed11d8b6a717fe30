"""Requests that wait for a clean hour, through a real Envoy."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest

from integration.gateways import EPP, Mode, World, until, world
from integration.load import Load
from integration.model_servers import ModelServer

pytestmark = pytest.mark.integration

CONFIG = """\
apiVersion: turnout/v1
kind: EndpointPickerConfig
featureGates: [flowControl]
plugins:
- type: queue-scorer
- type: clean-hours-policy
  parameters:
    hours: [{from: "FROM", to: "TO"}]
    maxWait: WAIT
    atDeadline: END
schedulingProfiles:
- name: default
  plugins:
  - pluginRef: queue-scorer
"""
DEFERRABLE = (("x-turnout-deferrable", "true"),)


def config(wait: str, end: str = "go") -> str:
    """Clean for an hour that begins in two hours."""
    begin, over = (time.strftime("%H:%M", time.gmtime(time.time() + hours * 3600)) for hours in (2, 3))
    return CONFIG.replace("FROM", begin).replace("TO", over).replace("WAIT", wait).replace("END", end)


async def deferred(running: World, count: int) -> None:
    async def are() -> bool:
        return (await running.pages.get("/queue"))["deferred"] == count

    await until(are, f"{count} deferred requests")


async def test_a_deferrable_request_waits_and_holds_up_nobody(
    mode: Mode, servers: list[ModelServer], tmp_path: Path
) -> None:
    options = replace(EPP, config_text=config("2s"))
    async with world(mode, tmp_path, [server.url for server in servers], options) as running:
        begun = asyncio.get_running_loop().time()
        later = asyncio.create_task(running.gateway.chat("later", DEFERRABLE))
        await deferred(running, 1)
        async with Load(running.gateway, workers=2) as load:
            await load.answered(50)
        assert set(load.outcomes) == {200}
        assert not later.done() or asyncio.get_running_loop().time() - begun >= 2.0
        assert (await later).status == 200
        assert asyncio.get_running_loop().time() - begun >= 2.0
        await deferred(running, 0)
        await running.pages.settled()


async def test_a_deferrable_request_that_would_rather_be_refused(
    mode: Mode, servers: list[ModelServer], tmp_path: Path
) -> None:
    options = replace(EPP, config_text=config("1s", "refuse"))
    async with world(mode, tmp_path, [server.url for server in servers], options) as running:
        answer = await running.gateway.chat("later", DEFERRABLE)
        assert answer.status == 429
        assert answer.headers["x-llm-d-request-dropped-reason"] == "rejected-ttl-expired"
        assert [len(server.received) for server in servers] == [0, 0, 0, 0]


async def test_a_client_that_leaves_takes_its_deferred_request_along(
    mode: Mode, servers: list[ModelServer], tmp_path: Path
) -> None:
    options = replace(EPP, config_text=config("1h"))
    async with world(mode, tmp_path, [server.url for server in servers], options) as running:
        later = asyncio.create_task(running.gateway.chat("later", DEFERRABLE))
        await deferred(running, 1)
        later.cancel()
        await deferred(running, 0)
        await running.gateway.still_serves()
