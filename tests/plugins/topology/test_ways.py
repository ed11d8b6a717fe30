import msgspec
import pytest

from epp.topology.gpus import gpu, link, machine
from plugins.topology.islands import GB, islands
from turnout.framework import Quantity
from turnout.plugins.topology.keys import Reach, Route
from turnout.plugins.topology.network import DEFAULT_NETWORK, Network
from turnout.plugins.topology.ways import Ways, assumed, between_hosts

WAYS = Ways.of(islands())


@pytest.mark.parametrize(
    ("a", "b", "p2p", "expected"),
    [
        pytest.param(0, 1, True, Route(Reach.NVLINK, 100 * GB, 5e-6, True, True), id="four NVLinks"),
        pytest.param(1, 0, True, Route(Reach.NVLINK, 100 * GB, 5e-6, True, True), id="the other way"),
        pytest.param(1, 2, True, Route(Reach.NODE, 32 * GB, 2e-5, False, True), id="from socket to socket"),
        pytest.param(0, 1, False, Route(Reach.SOCKET, 32 * GB, 1e-5, True, True), id="slices cannot use NVLink"),
        pytest.param(0, 0, True, Route(Reach.NVLINK, 300 * GB, 5e-6, True, True), id="one GPU"),
        pytest.param(0, 0, False, Route(Reach.SOCKET, 32 * GB, 1e-5, True, True), id="two slices of one GPU"),
    ],
)
def test_the_way_between_two_gpus_is_the_document_s(a: int, b: int, p2p: bool, expected: Route) -> None:
    assert WAYS.routes([(a, b)], DEFAULT_NETWORK, p2p=p2p) == [expected]


def test_what_goes_between_sockets_may_be_limited() -> None:
    narrow = Network(between_sockets=Quantity(10 * GB))
    across, inside = WAYS.routes([(0, 2), (0, 1)], narrow, p2p=True)
    assert (across.bytes_per_second, inside.bytes_per_second) == (10 * GB, 100 * GB)


def test_a_gpu_that_was_lost_has_ways_that_are_assumed() -> None:
    lost = Ways.of(islands(lost=True, nvlinks=(), pcie=islands().gpus[0].pcie.__class__()))
    (way,) = lost.routes([(0, 1)], DEFAULT_NETWORK, p2p=True)
    assert (way.reach, way.bytes_per_second, way.measured) == (Reach.SOCKET, 31.5 * GB, True)


def test_without_a_document_ways_are_assumed() -> None:
    assert assumed(Reach.NODE, DEFAULT_NETWORK) == Route(Reach.NODE, 31.5 * GB, 2e-5)


@pytest.mark.parametrize(
    ("exits", "bandwidth"),
    [
        pytest.param((None, None), 25 * GB, id="the network"),
        pytest.param((64 * GB, 16 * GB), 16 * GB, id="a PCIe link that is narrower"),
    ],
)
def test_between_hosts_the_narrowest_part_counts(exits: tuple[int | None, int | None], bandwidth: float) -> None:
    assert between_hosts(Reach.RACK, exits, DEFAULT_NETWORK) == Route(Reach.RACK, bandwidth, 2e-5)


def test_a_gpu_reaches_itself_at_least_as_fast_as_any_other() -> None:
    fast = Ways.of(machine(gpu(0, link(0, 1, rate=400)), gpu(1, link(0, 0, rate=400))))
    itself, other = fast.routes([(0, 0), (0, 1)], DEFAULT_NETWORK, p2p=True)
    assert itself.bytes_per_second == other.bytes_per_second == 400 * GB


def test_a_level_does_not_make_one_socket_of_two() -> None:
    told = islands()
    pairs = tuple(msgspec.structs.replace(pair, level="PIX") for pair in told.pairs)
    (way,) = Ways.of(msgspec.structs.replace(told, pairs=pairs)).routes([(0, 2)], DEFAULT_NETWORK, p2p=True)
    assert (way.reach, way.same_socket) == (Reach.NODE, False)
