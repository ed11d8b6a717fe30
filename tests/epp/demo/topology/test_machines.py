import pytest

from turnout.config import load_pipeline
from turnout.epp.demo.topology.machines import LINKS, POOL, Seat, Way, documents, links_to
from turnout.framework.testing import make_endpoint
from turnout.plugins.topology.document import parse
from turnout.plugins.topology.keys import Reach
from turnout.plugins.topology.producer import TopologyProducer


def test_each_of_sixteen_gpus_has_a_server_and_on_each_nvlink_pair_one_of_them_prefills() -> None:
    assert len(set(POOL)) == 16
    for seat in POOL:
        peers = [other for other in POOL if other != seat and seat.way_to(other) == "NVLink"]
        assert [other.role for other in peers] == ["decode" if seat.role == "prefill" else "prefill"]


@pytest.mark.parametrize(
    ("other", "way"),
    [
        pytest.param(Seat(0, 1), "NVLink", id="its pair"),
        pytest.param(Seat(0, 3), "same node", id="the other pair of the machine"),
        pytest.param(Seat(1, 1), "network", id="another machine"),
    ],
)
def test_what_lies_between_two_servers(other: Seat, way: Way) -> None:
    assert Seat(0, 0).way_to(other) == way
    assert other.way_to(Seat(0, 0)) == way


def test_a_server_is_told_how_fast_kv_cache_comes_from_each_other_one() -> None:
    addresses = {f"127.0.0.1:{8000 + place}": seat for place, seat in enumerate(POOL)}
    links = links_to(Seat(0, 1), addresses)
    assert len(links.peers) == 15
    assert links.link_from("127.0.0.1:8000") == LINKS["NVLink"]
    assert links.link_from("127.0.0.1:8002") == LINKS["same node"]
    assert links.link_from("127.0.0.1:8004") == LINKS["network"]


def test_the_documents_are_what_readers_of_topology_documents_accept() -> None:
    machines = [parse(line) for line in documents().splitlines()]
    assert [machine.node for machine in machines] == ["machine-0", "machine-1", "machine-2", "machine-3"]
    assert {(pair.a, pair.b): pair.link for pair in machines[0].pairs} == {
        (0, 1): "NV12",
        (0, 2): "SYS",
        (0, 3): "SYS",
        (1, 2): "SYS",
        (1, 3): "SYS",
        (2, 3): "NV12",
    }
    assert all(machine.gaps == () for machine in machines)


PIPELINE = """
apiVersion: turnout/v1
kind: EndpointPickerConfig
plugins:
- type: topology-producer
  parameters: {documents: {file: FILE}}
- type: gpu-topology-scorer
schedulingProfiles:
- name: default
  plugins: [{pluginRef: gpu-topology-scorer}]
"""


def test_the_picker_knows_the_ways_that_the_servers_simulate(tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("machines") / "topology.jsonl"
    file.write_bytes(documents())
    producer = load_pipeline(PIPELINE.replace("FILE", str(file))).plugins["topology-producer"]
    assert isinstance(producer, TopologyProducer)
    producer.endpoints_changed([make_endpoint(f"e{place}", labels=seat.labels) for place, seat in enumerate(POOL)])
    routes = producer.routes("default/e1")
    reaches = {"NVLink": Reach.NVLINK, "same node": Reach.NODE, "network": Reach.ZONE}
    for place, seat in enumerate(POOL):
        if place != 1:
            route, way = routes(f"default/e{place}"), Seat(0, 1).way_to(seat)
            assert route is not None
            assert (route.reach, route.bytes_per_second) == (reaches[way], LINKS[way].bytes_per_second)
            assert route.latency_seconds == LINKS[way].latency_seconds
