"""The picker's readers at the metrics page of a real vLLM, while it serves."""

import math
from collections.abc import AsyncIterator, Mapping, Sequence

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from engines.load import MODELS, endless_streams
from engines.polling import until
from engines.vllm_server import VllmServer
from turnout.epp.datalayer.engines import CoreMetricsExtractor
from turnout.epp.datalayer.scraper import MetricsDataSource
from turnout.framework import Endpoint, EndpointMetrics


class Scraping:
    """Reads the page as the picker does and, independently, with Prometheus's own parser."""

    def __init__(self, source: MetricsDataSource, endpoint: Endpoint) -> None:
        self._source = source
        self._endpoint = endpoint
        self._extractor = CoreMetricsExtractor()

    async def read(self) -> EndpointMetrics:
        page = await self._source.fetch(self._endpoint)
        metrics = self._extractor.extract(page, self._endpoint, now=7.0)
        assert as_read_by_the_picker(metrics) == as_read_by_prometheus(page.decode())
        return metrics


@pytest.fixture
async def scraping(vllm: VllmServer) -> AsyncIterator[Scraping]:
    source = MetricsDataSource()
    try:
        yield Scraping(source, Endpoint("default/vllm", vllm.host, vllm.port))
    finally:
        await source.close()


def as_read_by_the_picker(metrics: EndpointMetrics) -> Mapping[str, object]:
    return {
        "running": metrics.running_requests,
        "waiting": metrics.waiting_queue_size,
        "cache use": metrics.kv_cache_utilization,
        "running adapters": metrics.active_adapters,
        "waiting adapters": metrics.waiting_adapters,
        "adapter slots": metrics.max_active_adapters,
        "block size": metrics.cache_block_size,
        "blocks": metrics.cache_num_blocks,
    }


def as_read_by_prometheus(page: str) -> Mapping[str, object]:
    samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
    (running,) = named(samples, "vllm:num_requests_running")
    (waiting,) = named(samples, "vllm:num_requests_waiting")
    (cache_use,) = named(samples, "vllm:kv_cache_usage_perc")
    (cache,) = named(samples, "vllm:cache_config_info")
    adapters = sorted(named(samples, "vllm:lora_requests_info"), key=lambda sample: sample.value)
    newest = adapters[-1].labels if adapters else {}
    return {
        "running": running.value,
        "waiting": waiting.value,
        "cache use": cache_use.value,
        "running adapters": set(newest.get("running_lora_adapters", "").split(",")) - {""},
        "waiting adapters": set(newest.get("waiting_lora_adapters", "").split(",")) - {""},
        "adapter slots": int(newest.get("max_lora", "0")),
        "block size": int(cache.labels["block_size"]),
        "blocks": int(cache.labels["num_gpu_blocks"]),
    }


def named(samples: Sequence[Sample], name: str) -> list[Sample]:
    return [sample for sample in samples if sample.name == name]


async def test_the_page_of_a_full_server_is_read_right(vllm: VllmServer, scraping: Scraping) -> None:
    async with endless_streams(vllm.url, MODELS * 4):
        full = await until(
            scraping.read,
            lambda metrics: metrics.waiting_queue_size > 0 and len(metrics.active_adapters) == 2,
        )
        assert (full.running_requests, full.waiting_queue_size) == (8, 4)
        assert 0 < full.kv_cache_utilization < 1
        assert full.active_adapters == {"adapter-a", "adapter-b"}
        assert full.max_active_adapters == 2
        assert (full.cache_block_size, full.cache_num_blocks) == (32, 256)
        assert full.age("running_requests", now=9.0) == 2.0
        # Not "more": on a busy machine the first page may come when the streams are at their fullest together.
        await until(scraping.read, lambda metrics: metrics.kv_cache_utilization != full.kv_cache_utilization)


async def test_the_page_tells_when_a_server_has_nothing_left_to_do(vllm: VllmServer, scraping: Scraping) -> None:
    async with endless_streams(vllm.url, ["adapter-b"]):
        # The page may still be that of what came before.
        busy = await until(scraping.read, lambda metrics: metrics.running_requests == 1)
        assert busy.waiting_queue_size == 0
    idle = await until(scraping.read, lambda metrics: metrics.running_requests == 0)
    assert idle.waiting_queue_size == 0
    assert idle.kv_cache_utilization == 0.0


async def test_every_value_is_on_the_page_of_a_server_that_has_served(vllm: VllmServer, scraping: Scraping) -> None:
    async with endless_streams(vllm.url, ["adapter-a"]):
        await until(scraping.read, lambda metrics: "adapter-a" in metrics.active_adapters)
    metrics = await until(scraping.read, lambda metrics: metrics.running_requests == 0)
    assert [name for name in as_fields(metrics) if math.isinf(metrics.age(name, now=7.0))] == []


def as_fields(metrics: EndpointMetrics) -> tuple[str, ...]:
    return tuple(name for name in metrics.__slots__ if name not in ("custom", "observed_at"))
