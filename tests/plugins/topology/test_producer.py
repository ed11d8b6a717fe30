import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web

from plugins.generated import produce
from plugins.http_servers import Answer, saying, serving
from plugins.topology.islands import GB, busy, islands
from turnout.config import load_pipeline
from turnout.framework import Endpoint, GaugeReading, PluginName, WallClock
from turnout.framework.testing import check_producer, make_endpoint, make_request, make_state
from turnout.plugins.feeds.source import FeedSource
from turnout.plugins.topology.document import encoded
from turnout.plugins.topology.keys import TOPOLOGY, Place, Reach, Route
from turnout.plugins.topology.machine import Machine
from turnout.plugins.topology.per_host import HostPages
from turnout.plugins.topology.places import PLACE_LABELS, PlaceLabels
from turnout.plugins.topology.producer import TopologyProducer

HOST, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"
SOON = timedelta(milliseconds=100)


def endpoint(name: str, host: str = "n1", gpus: str = "0", **labels: str) -> Endpoint:
    return make_endpoint(name, labels={HOST: host, "turnout/gpus": gpus, **labels})


POOL = [endpoint("a"), endpoint("b", gpus="1"), endpoint("c", gpus="2"), endpoint("d", host="n2")]


def gauges(plugin: TopologyProducer) -> Mapping[str, float]:
    return {
        "/".join([reading.name, *reading.labels.values()]): reading.value
        for reading in plugin.readings()
        if isinstance(reading, GaugeReading)
    }


def test_labels_alone_make_a_topology() -> None:
    plugin = TopologyProducer(WallClock())
    plugin.endpoints_changed(POOL)
    topology = check_producer(plugin, make_request(), make_state(), POOL).read(TOPOLOGY.of(""))
    hardware = topology.hardware("default/a")
    assert hardware is not None
    assert (hardware.place, hardware.gpus) == (Place("n1"), (0,))
    routes = topology.routes("default/a")
    assert routes("default/b") == Route(Reach.NODE, 31.5 * GB, 2e-5)
    assert routes("default/x") is None
    assert topology.state("default/a", 0.0) is None


def test_the_labels_of_places_are_published_beside_the_topology() -> None:
    plugin = TopologyProducer(WallClock(0.0), places=PlaceLabels(host="node"), name=PluginName("mine"))
    state = check_producer(plugin, make_request(), make_state(), POOL)
    assert state.read(PLACE_LABELS.of("mine")) == PlaceLabels(host="node")


def test_a_scheduler_without_an_endpoint_picker_is_told_by_its_requests() -> None:
    plugin = TopologyProducer(WallClock())
    topology = produce(plugin, make_request(), make_state(), POOL).read(TOPOLOGY.of(""))
    assert topology.hardware("default/d") is not None
    produce(plugin, make_request(), make_state(), POOL[:2])
    assert topology.hardware("default/d") is None


def test_an_endpoint_may_get_other_labels_and_leave() -> None:
    plugin = TopologyProducer(WallClock())
    plugin.endpoints_changed(POOL)
    plugin.endpoints_changed([POOL[0], endpoint("b", host="n2")])
    found = plugin.routes("default/a")("default/b")
    assert found is not None
    assert found.reach is Reach.APART
    assert plugin.hardware("default/c") is None


def of_file(path: Path, *machines: Machine) -> TopologyProducer:
    path.write_bytes(b"\n".join(map(encoded, machines)))
    return TopologyProducer(WallClock(path.stat().st_mtime), FeedSource(file=str(path)))


def test_a_topology_file_says_how_gpus_reach_each_other_and_how_they_are(tmp_path: Path) -> None:
    plugin = of_file(tmp_path / "t", busy(islands("n1"), 0.25, 0.5, 0, 0), islands("n2"))
    plugin.endpoints_changed(POOL)
    routes = plugin.routes("default/a")
    assert [routes(f"default/{name}") for name in "bcd"] == [
        Route(Reach.NVLINK, 100.0 * GB, 5e-6, True, True),
        Route(Reach.NODE, 32.0 * GB, 2e-5, False, True),
        Route(Reach.APART, 1.25 * GB, 0.05),
    ]
    state = plugin.state("default/b", 1.0)
    assert state is not None
    assert state.utilization == 0.5
    produce(plugin, make_request(), make_state(now=1.0), POOL)
    shown = gauges(plugin)
    assert shown["gpu_utilization/default/a"] == 0.25
    assert shown["gpu_memory_free_bytes/default/a"] == 80 * 2**30
    assert (shown["topology_endpoints/known"], shown["topology_endpoints/unknown"]) == (4, 0)


def test_a_file_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no topology document"):
        of_file(tmp_path / "t").__class__(WallClock(), FeedSource(file=str(_written(tmp_path / "u", b"{"))))


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@asynccontextmanager
async def agents(answer: Answer, *pool: Endpoint, timeout: float = 5.0) -> AsyncIterator[TopologyProducer]:
    """A producer that follows agents which all answer so; hosts must be names of this machine."""
    async with serving(answer) as server:
        pages = HostPages(f"http://{{host}}:{server.port}/topology", SOON, timedelta(seconds=timeout), 100_000)
        plugin = TopologyProducer(WallClock(1e9), agents=pages)
        plugin.endpoints_changed(pool)
        running = asyncio.create_task(plugin.run())
        try:
            yield plugin
        finally:
            running.cancel()
            await asyncio.wait([running])


async def settled(plugin: TopologyProducer, cause: str, pool: list[Endpoint]) -> list[str]:
    """Waits for a finding of this cause; their messages."""
    async with asyncio.timeout(10):
        while True:
            found = plugin.diagnose(pool, asyncio.get_running_loop().time()).findings
            if any(finding.cause == cause for finding in found):
                return [finding.message for finding in found if finding.cause == cause]
            await asyncio.sleep(0.01)


LOCAL = [endpoint("a", "localhost"), endpoint("b", "localhost", gpus="1")]


async def test_agents_are_asked_over_http() -> None:
    async with agents(saying(encoded(busy(islands("localhost"), 0.5, 0, 0, 0))), *LOCAL) as plugin:
        async with asyncio.timeout(10):
            while plugin.state("default/a", asyncio.get_running_loop().time()) is None:
                await asyncio.sleep(0.01)
        found = plugin.routes("default/a")("default/b")
        assert found == Route(Reach.NVLINK, 100.0 * GB, 5e-6, True, True)
        assert gauges(plugin)["topology_hosts/agent/fresh"] == 1


async def _hang(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError("nobody waits that long")


async def _flood(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(1_600):  # 100 MiB
        await response.write(b" " * 65_536)
    return response


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        pytest.param(_hang, "did not answer within 0.2 s", id="hangs"),
        pytest.param(_flood, "is larger than 100000 bytes", id="sends 100 MB"),
        pytest.param(saying(b"", 500), "answered 500", id="is broken"),
        pytest.param(saying(b"<html>"), "no topology document", id="is another server"),
        pytest.param(saying(b'{"schema": "turnout.topology/v9"}'), "this reads", id="is of another version"),
    ],
)
async def test_an_agent_that_does_not_answer_properly_leaves_what_labels_say(answer: Answer, problem: str) -> None:
    async with agents(answer, *LOCAL, timeout=0.2) as plugin:
        (message,) = await settled(plugin, "feed-empty", LOCAL)
        assert problem in message
        found = plugin.routes("default/a")("default/b")
        assert found is not None
        assert (found.reach, found.measured) == (Reach.NODE, False)


async def test_an_agent_of_another_host_is_not_believed() -> None:
    async with agents(saying(encoded(islands("n9"))), *LOCAL) as plugin:
        messages = await settled(plugin, "contradictory-topology", LOCAL)
        assert messages[0] == "the agent of localhost says that it is 'n9'; its document is not used"
        found = plugin.routes("default/a")("default/b")
        assert found is not None
        assert not found.measured


async def test_a_machine_that_changes_while_serving_is_known_anew() -> None:
    said = [encoded(islands("localhost"))]

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=said[-1])

    async with agents(answer, *LOCAL) as plugin, asyncio.timeout(10):
        while (found := plugin.routes("default/a")("default/b")) is None or found.reach is not Reach.NVLINK:
            await asyncio.sleep(0.01)
        said.append(encoded(islands("localhost", lost=True)))
        while (found := plugin.routes("default/a")("default/b")) is None or found.reach is Reach.NVLINK:
            await asyncio.sleep(0.01)
        state = plugin.state("default/a", asyncio.get_running_loop().time())
        assert state is not None
        assert state.lost


async def test_a_dcgm_exporter_says_who_has_which_gpu_and_how_it_is() -> None:
    page = b"""\
DCGM_FI_DEV_GPU_UTIL{gpu="2",namespace="default",pod="a"} 40
DCGM_FI_DEV_GPU_UTIL{gpu="3",namespace="default",pod="b"} 60
"""
    pool = [make_endpoint(name, labels={HOST: "localhost"}) for name in "ab"]
    async with serving(saying(page)) as server:
        plugin = TopologyProducer(WallClock(1e9), dcgm=HostPages(f"http://{{host}}:{server.port}/metrics", SOON))
        plugin.endpoints_changed(pool)
        running = asyncio.create_task(plugin.run())
        async with asyncio.timeout(10):
            while (state := plugin.state("default/b", asyncio.get_running_loop().time())) is None:
                await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.wait([running])
    assert state.utilization == 0.6
    hardware = plugin.hardware("default/b")
    assert hardware is not None
    assert hardware.gpus == (3,)


def test_what_is_wrong_is_told(tmp_path: Path) -> None:
    plugin = of_file(tmp_path / "t", islands("n1"))
    pool = [endpoint("a", gpus="9"), make_endpoint("b"), endpoint("c", **{"gpu-memory": "80"})]
    plugin.endpoints_changed(pool)
    found = plugin.diagnose(pool, 0.0)
    assert [(finding.endpoint, finding.cause) for finding in found.findings] == [
        ("default/a", "contradictory-topology"),
        ("default/b", "no-topology"),
        ("default/c", "contradictory-topology"),
    ]
    assert found.figures["default/c"]["gpus"] == "0"
    assert "default/b" not in found.figures


def test_a_time_limit_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="max_age must be above 0, got 0 s"):
        TopologyProducer(WallClock(), max_age=timedelta(0))


CONFIG = """
apiVersion: turnout/v1
kind: EndpointPickerConfig
plugins:
- type: topology-producer
  parameters:
    agents: {url: "http://{host}:9420/topology", interval: 5s}
    dcgm: {url: "http://{host}:9400/metrics"}
    labels: {gpuType: [accelerator]}
    network: {rack: {bandwidth: 50G, latency: 10us}}
"""


def test_a_configuration_states_its_sources() -> None:
    stages = load_pipeline(CONFIG).producer_stages
    assert "topology-producer" in {named.name for stage in stages for named in stage}
