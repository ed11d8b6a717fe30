"""A whole pipeline, from a configuration and a topology file to the endpoints of a request."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from plugins.topology.islands import islands
from turnout.config import Pipeline, load_pipeline
from turnout.framework import CounterReading, Endpoint, HistogramReading, Measured, SchedulingResult, WallClock
from turnout.framework.testing import make_endpoint, make_request, make_state
from turnout.plugins.topology.document import encoded

CONFIG = """
apiVersion: turnout/v1
kind: EndpointPickerConfig
plugins:
- type: disagg-profile-handler
- type: prefill-filter
- type: decode-filter
- type: topology-producer
  parameters: {documents: {file: FILE}}
- type: topology-filter
  parameters: {locality: nvlink, minBandwidth: 90G, mode: preferred}
- type: gpu-topology-scorer
  parameters: {weights: {transfer: 1, groupBandwidth: 0, numa: 0, pcie: 0}}
- type: gpu-headroom-scorer
  parameters: {strategy: pack, minFreeMemory: 8Gi}
schedulingProfiles:
- name: decode
  plugins: [{pluginRef: decode-filter}, {pluginRef: gpu-headroom-scorer}]
- name: prefill
  plugins: [{pluginRef: prefill-filter}, {pluginRef: topology-filter}, {pluginRef: gpu-topology-scorer}]
"""


def endpoint(name: str, role: str, host: str, gpus: str) -> Endpoint:
    return make_endpoint(name, labels={"llm-d.ai/role": role, "kubernetes.io/hostname": host, "turnout/gpus": gpus})


DECODES = endpoint("decodes", "decode", "n1", "0")
NVLINK = endpoint("nvlink", "prefill", "n1", "1")
SOCKET = endpoint("socket", "prefill", "n1", "2")
FAR = endpoint("far", "prefill", "n2", "0")


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    path = tmp_path / "topology.jsonl"
    path.write_bytes(b"\n".join([encoded(islands("n1")), encoded(islands("n2"))]))
    loaded = load_pipeline(CONFIG.replace("FILE", str(path)), wall_clock=WallClock(path.stat().st_mtime))
    assert loaded.warnings == ()
    return loaded


def sent(pipeline: Pipeline, pool: list[Endpoint]) -> SchedulingResult:
    """The decision for a request with a prompt of 1,000 tokens, after what follows it."""
    request, state = make_request(), make_state("x" * 4_000)
    for watcher in pipeline.watchers:
        watcher.plugin.endpoints_changed(pool)
    for producer in (named for stage in pipeline.producer_stages for named in stage):
        asyncio.run(producer.plugin.produce(request, state, pool))
    result = pipeline.scheduler.schedule(request, state, pool, 0.0)
    for named in pipeline.pre_request:
        named.plugin.pre_request(request, state, result)
    return result


def violations(pipeline: Pipeline) -> Mapping[str, float]:
    plugin = pipeline.plugins["topology-filter"]
    assert isinstance(plugin, Measured)
    return {one.labels["rule"]: one.value for one in plugin.readings() if isinstance(one, CounterReading)}


def expected_seconds(pipeline: Pipeline) -> float:
    plugin = pipeline.plugins["gpu-topology-scorer"]
    assert isinstance(plugin, Measured)
    (reading,) = plugin.readings()
    assert isinstance(reading, HistogramReading)
    return reading.histogram.total


def test_prefill_stays_on_the_nvlink_of_decode(pipeline: Pipeline) -> None:
    result = sent(pipeline, [DECODES, FAR, SOCKET, NVLINK])
    assert result.endpoint.name == "default/decodes"
    assert [one.endpoint.name for one in result.profiles["prefill"].scored] == ["default/nvlink"]
    assert violations(pipeline) == {"locality": 0, "bandwidth": 0}
    # 1,000 tokens of 128 KiB at 100 GB/s, and 5 us.
    assert expected_seconds(pipeline) == pytest.approx(0.00131572)


def test_without_one_there_it_goes_where_the_transfer_takes_least_and_that_is_counted(pipeline: Pipeline) -> None:
    result = sent(pipeline, [DECODES, FAR, SOCKET])
    assert result.profiles["prefill"].picked[0].name == "default/socket"
    assert violations(pipeline) == {"locality": 1, "bandwidth": 1}
    # The same at 32 GB/s, and 20 us.
    assert expected_seconds(pipeline) == pytest.approx(0.004116)
