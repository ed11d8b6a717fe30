"""Endpoints that get a drain notice in the endpoints file, under traffic through a real Envoy."""

import json
import time
from collections.abc import Mapping
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
plugins:
- type: file-discovery
  parameters: {path: PATH, watchFile: true}
- type: drain-filter
- type: queue-scorer
schedulingProfiles:
- name: default
  plugins:
  - pluginRef: drain-filter
  - pluginRef: queue-scorer
dataLayer:
  discovery: {pluginRef: file-discovery}
"""


def listing(servers: list[ModelServer], notices: Mapping[str, str]) -> str:
    entries = [
        {
            "name": server.name,
            "address": "127.0.0.1",
            "port": str(server.port),
            "labels": {"turnout/drain-at": notices[server.name]} if server.name in notices else {},
        }
        for server in servers
    ]
    return json.dumps({"endpoints": entries})


def write(path: Path, content: str) -> None:
    draft = path.with_suffix(".new")
    draft.write_text(content)
    draft.replace(path)


async def notices_known(running: World, count: int) -> None:
    async def known() -> bool:
        lines = [line for line in (await running.pages.metrics()).splitlines() if "drain_notices{" in line]
        return [float(line.rpartition(" ")[2]) for line in lines] == [count]

    await until(known, f"{count} drain notices")


def received(servers: list[ModelServer]) -> dict[str, int]:
    return {server.name: len(server.received) for server in servers}


@pytest.mark.parametrize(
    "seconds_ahead",
    [
        pytest.param(-1.0, id="its time has come"),
        pytest.param(3600.0, id="in an hour, and nobody knows how long requests take"),
    ],
)
async def test_no_request_is_sent_to_a_draining_endpoint_after_its_notice(
    mode: Mode, servers: list[ModelServer], tmp_path: Path, seconds_ahead: float
) -> None:
    file = tmp_path / "endpoints.json"
    write(file, listing(servers, {}))
    options = replace(EPP, config_text=CONFIG.replace("PATH", str(file)))
    async with world(mode, tmp_path, (), options) as running, Load(running.gateway) as load:
        await load.answered(40)
        assert all(received(servers).values())
        at = str(time.time() + seconds_ahead)
        write(file, listing(servers, {"a": at, "b": at}))
        await notices_known(running, 2)
        # What was decided before the notice was known has been answered.
        await load.answered(20)
        before = received(servers)
        await load.answered(100)
        after = received(servers)
        assert (after["a"], after["b"]) == (before["a"], before["b"])
        assert after["c"] > before["c"]
        write(file, listing(servers, {"b": at}))
        await notices_known(running, 1)
        await load.answered(40)
        assert len(servers[0].received) > after["a"], "without its notice it is used again"
        assert len(servers[1].received) == after["b"]
    assert set(load.outcomes) == {200}


async def test_a_pool_that_drains_as_a_whole_refuses(mode: Mode, servers: list[ModelServer], tmp_path: Path) -> None:
    file = tmp_path / "endpoints.json"
    write(file, listing(servers, {server.name: "now" for server in servers}))
    options = replace(EPP, config_text=CONFIG.replace("PATH", str(file)))
    async with world(mode, tmp_path, (), options) as running:
        assert (await running.gateway.chat()).status == 429
        assert received(servers) == {"a": 0, "b": 0, "c": 0, "d": 0}
