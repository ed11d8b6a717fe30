"""The simulator's pages and events against those of a real vLLM that serves the same requests."""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from engines.polling import until
from engines.vllm_server import ADAPTERS, MODEL, VllmServer
from turnout.epp.simulator.options import SimServerOptions
from turnout.epp.simulator.server import RunningSimServer, start_sim_server

# What the picker reads, and what the demo's table is made of.
READ_BY_TURNOUT = (
    "vllm:kv_cache_usage_perc",
    "vllm:lora_requests_info",
    "vllm:num_requests_running",
    "vllm:num_requests_waiting",
    "vllm:prefix_cache_hits_total",
    "vllm:prefix_cache_queries_total",
    "vllm:request_success_total",
)


@pytest.fixture
async def simulator() -> AsyncIterator[RunningSimServer]:
    server = await start_sim_server(SimServerOptions(model=MODEL, port=0, lora_names=ADAPTERS, time_scale=0.1))
    yield server
    await server.close()


async def page_after_a_request(http: aiohttp.ClientSession, url: str) -> str:
    body = {"model": "adapter-a", "prompt": "Once upon a time", "max_tokens": 4, "ignore_eos": True}
    async with http.post(f"{url}/v1/completions", json=body) as response:
        assert response.status == 200

    async def page() -> str:
        async with http.get(f"{url}/metrics") as response:
            return await response.text()

    return await until(page, lambda text: 'running_lora_adapters="adapter-a"' in text)


def labels(page: str) -> Mapping[str, set[frozenset[str]]]:
    """The sets of label names of each sample name."""
    found: dict[str, set[frozenset[str]]] = defaultdict(set)
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            found[sample.name].add(frozenset(sample.labels))
    return found


def types(page: str, names: Iterable[str]) -> Mapping[str, str]:
    by_name = {family.name: family.type for family in text_string_to_metric_families(page)}
    return {name: by_name.get(name, "absent") for name in names}


async def test_what_turnout_reads_has_the_same_names_and_labels_on_both_pages(
    vllm: VllmServer, simulator: RunningSimServer, http: aiohttp.ClientSession
) -> None:
    real = labels(await page_after_a_request(http, vllm.url))
    simulated = labels(await page_after_a_request(http, simulator.url))
    assert {name: simulated.get(name) for name in READ_BY_TURNOUT} == {name: real.get(name) for name in READ_BY_TURNOUT}


async def test_the_simulators_cache_configuration_is_a_part_of_the_real_one(
    vllm: VllmServer, simulator: RunningSimServer, http: aiohttp.ClientSession
) -> None:
    (real,) = labels(await page_after_a_request(http, vllm.url))["vllm:cache_config_info"]
    (simulated,) = labels(await page_after_a_request(http, simulator.url))["vllm:cache_config_info"]
    assert {"block_size", "num_gpu_blocks"} <= simulated <= real


async def test_every_family_of_the_simulator_has_the_type_of_the_real_one(
    vllm: VllmServer, simulator: RunningSimServer, http: aiohttp.ClientSession
) -> None:
    real = await page_after_a_request(http, vllm.url)
    simulated = await page_after_a_request(http, simulator.url)
    names = {family.name for family in text_string_to_metric_families(simulated)}
    assert len(names) > 10
    assert types(simulated, names) == types(real, names)
