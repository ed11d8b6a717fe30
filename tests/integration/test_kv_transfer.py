"""The KV cache of a prompt really comes from the endpoint that computed it, behind a real Envoy."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from integration.gateways import EPP, Mode, World, until, world
from turnout.config import shipped_profiles
from turnout.epp.simulator.kv_links import KvLink, KvLinks
from turnout.epp.simulator.options import SimServerOptions
from turnout.epp.simulator.server import RunningSimServer, start_sim_server

pytestmark = pytest.mark.integration

PROFILE = shipped_profiles().joinpath("disaggregated.yaml").read_text(encoding="utf-8")
ROLES = {"p1": "prefill", "d1": "decode", "p2": "prefill", "d2": "decode"}
LINKS = KvLinks(default=KvLink(bytes_per_second=1e12, latency_seconds=0.001))
PROMPTS = 12


@pytest.fixture
async def servers() -> AsyncIterator[Mapping[str, RunningSimServer]]:
    """On two machines, of which each has one that prefills and one that decodes."""
    options = SimServerOptions(port=0, time_scale=0.1, kv_links=LINKS)
    started = {name: await start_sim_server(options) for name in ROLES}
    yield started
    for server in started.values():
        await server.close()


@pytest.fixture
async def running(mode: Mode, servers: Mapping[str, RunningSimServer], tmp_path: Path) -> AsyncIterator[World]:
    urls = [
        f"{server.url},llm-d.ai/role={ROLES[name]},kubernetes.io/hostname=machine-{name[1]},gpu-topology=nvlink"
        for name, server in servers.items()
    ]
    async with world(mode, tmp_path, urls, replace(EPP, config_text=PROFILE)) as started:
        yield started


async def told(running: World, server: RunningSimServer) -> tuple[int, set[str]]:
    """How many transfers came to a server, and from whom."""
    async with running.gateway.client.get(f"{server.url}/sim/kv-transfers") as response:
        by_peer = await response.json()
    return sum(each["transfers"] for each in by_peer.values()), set(by_peer)


async def test_every_prompt_is_computed_by_one_endpoint_and_pulled_by_the_nearest_one_that_decodes(
    running: World, servers: Mapping[str, RunningSimServer]
) -> None:
    answers = await asyncio.gather(*(running.gateway.chat(f"{number} " + "word " * 400) for number in range(PROMPTS)))
    for answer in answers:
        assert answer.status == 200
        usage = answer.json["usage"]
        assert isinstance(usage, dict)
        assert usage["prompt_tokens_details"] == {"cached_tokens": usage["prompt_tokens"] - 1}
    transfers = 0
    for name in ("d1", "d2"):
        count, peers = await told(running, servers[name])
        near = servers[f"p{name[1]}"]
        assert peers <= {f"127.0.0.1:{near.port}"}
        transfers += count
    assert transfers == PROMPTS
    await running.pages.settled()


async def test_the_picker_shows_how_many_transfers_engines_report_and_how_long_they_took(
    running: World, servers: Mapping[str, RunningSimServer]
) -> None:
    await asyncio.gather(*(running.gateway.chat(f"{number} " + "word " * 400) for number in range(PROMPTS)))

    async def read() -> bool:
        page = await running.pages.metrics()
        return sum(map(float, re.findall(r"^turnout_kv_transfers_total\{.*\} (\S+)$", page, re.MULTILINE))) == PROMPTS

    await until(read, f"{PROMPTS} transfers on the metrics page")
    page = await running.pages.metrics()
    seconds = sum(map(float, re.findall(r"^turnout_kv_transfer_seconds_total\{.*\} (\S+)$", page, re.MULTILINE)))
    assert PROMPTS * 0.0001 < seconds < PROMPTS * 0.001


async def test_a_prompt_whose_prefill_fails_is_computed_where_it_is_decoded(
    running: World, servers: Mapping[str, RunningSimServer]
) -> None:
    for name in ("p1", "p2"):
        async with running.gateway.client.post(f"{servers[name].url}/sim/fault", json={"kind": "error"}) as response:
            assert response.status == 200
    answer = await running.gateway.chat("word " * 400)
    assert answer.status == 200
    usage = answer.json["usage"]
    assert isinstance(usage, dict)
    assert usage["prompt_tokens_details"] == {"cached_tokens": 0}
