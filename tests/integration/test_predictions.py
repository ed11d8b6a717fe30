"""Latency predictions learn from first pieces, behind a real Envoy."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from integration.gateways import CHAT, EPP, Mode, World, chat, world
from turnout.config import shipped_profiles
from turnout.epp.simulator.options import SimServerOptions
from turnout.epp.simulator.server import RunningSimServer, start_sim_server

pytestmark = pytest.mark.integration

PROFILE = shipped_profiles().joinpath("slo-first.yaml").read_text(encoding="utf-8")
REQUESTS = 30


@pytest.fixture
async def engines() -> AsyncIterator[list[RunningSimServer]]:
    started = [await start_sim_server(SimServerOptions(port=0, time_scale=0.5, seed=seed)) for seed in range(2)]
    yield started
    for engine in started:
        await engine.close()


@pytest.fixture
async def running(mode: Mode, engines: list[RunningSimServer], tmp_path: Path) -> AsyncIterator[World]:
    options = replace(EPP, config_text=PROFILE, enable_grpc_stream_metrics=True)
    async with world(mode, tmp_path, [engine.url for engine in engines], options) as started:
        yield started


async def read(running: World, name: str, **labels: str) -> float:
    families = text_string_to_metric_families(await running.pages.metrics())
    samples = (sample for family in families for sample in family.samples if sample.name == f"turnout_{name}")
    return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())


async def test_every_streamed_answer_teaches_its_first_token_and_the_time_between_tokens(running: World) -> None:
    for number in range(REQUESTS // 10):
        bodies = [chat(f"{number} {each} " + "word " * 400, stream=True, max_tokens=20) for each in range(10)]
        answers = await asyncio.gather(*(running.gateway.send("POST", CHAT, body) for body in bodies))
        assert all(answer.status == 200 and answer.body.endswith(b"data: [DONE]\n\n") for answer in answers)
    await running.pages.settled()
    assert await read(running, "latency_prediction_observations_total", type="ttft") == REQUESTS
    assert await read(running, "latency_prediction_observations_total", type="tpot") == REQUESTS
    # One endpoint is as good as the other, and both are much faster than the prior says.
    assert 0.0 < await read(running, "latency_prediction_factor", type="tpot", part="weights") < 1.0


async def test_a_whole_answer_teaches_its_duration(running: World) -> None:
    answer = await running.gateway.send("POST", CHAT, chat(max_tokens=20))
    assert answer.status == 200
    await running.pages.settled()
    assert await read(running, "latency_prediction_observations_total", type="ttft") == 0
    assert await read(running, "request_predicted_ttft_seconds_count") == 1
