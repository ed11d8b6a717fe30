import pytest

from epp.topology.gpus import gpu, link, machine, pair_of
from turnout.epp.topology.assembly import Read, assembled
from turnout.plugins.topology.machine import MAX_GAPS, Gap, Gpu, Level

GB = 10**9
BOTH: dict[tuple[int, int], Level] = {(0, 1): "PIX", (1, 0): "PIX"}


@pytest.mark.parametrize(
    ("a", "b", "way"),
    [
        pytest.param(gpu(0), gpu(1), ("PIX", 0, 32 * GB, []), id="PCIe alone"),
        pytest.param(gpu(0, pcie=64), gpu(1, pcie=16), ("PIX", 0, 16 * GB, []), id="the slower PCIe link counts"),
        pytest.param(gpu(0, link(0, 1), link(1, 1)), gpu(1, link(0, 0), link(1, 0)), ("NV2", 2, 50 * GB, []), id="two"),
        pytest.param(
            gpu(0, link(0), link(1)), gpu(1, link(0), link(1)), ("NV2", 2, 50 * GB, []), id="two through a switch"
        ),
        pytest.param(
            gpu(0, link(0), link(1)), gpu(1, link(0), link(1, active=False)), ("NV1", 1, 25 * GB, []), id="one is down"
        ),
        pytest.param(gpu(0, link(0)), gpu(1), ("PIX", 0, 32 * GB, []), id="a switch at one end only"),
        pytest.param(
            gpu(0, link(0, 2), link(1, 1)), gpu(1, link(0, 0)), ("NV1", 1, 25 * GB, []), id="a link to a third GPU"
        ),
        pytest.param(
            gpu(0, link(0, 1, rate=None)), gpu(1, link(0, 0, rate=None)), ("NV1", 1, None, []), id="unknown speed"
        ),
        pytest.param(
            gpu(0, link(0, 1), link(1, 1)),
            gpu(1, link(0, 0)),
            ("NV1", 1, 25 * GB, ["the two ends say 2 and 1 NVLinks, taken as 1"]),
            id="the ends do not agree",
        ),
        pytest.param(
            gpu(0, link(0, 1)),
            gpu(1),
            ("PIX", 0, 32 * GB, ["the two ends say 1 and 0 NVLinks, taken as 0"]),
            id="one end knows nothing of a link",
        ),
        pytest.param(gpu(0, link(0, 1), lost=True), gpu(1, link(0, 0)), ("?", 0, None, []), id="a lost GPU"),
    ],
)
def test_the_way_between_two_gpus(a: Gpu, b: Gpu, way: tuple[str, int, int | None, list[str]]) -> None:
    assert pair_of((a, b), BOTH) == way


@pytest.mark.parametrize(
    ("levels", "way"),
    [
        pytest.param({}, ("?", 0, None, []), id="unknown both ways"),
        pytest.param({(1, 0): "PHB"}, ("PHB", 0, 32 * GB, []), id="known one way"),
        pytest.param(
            {(0, 1): "PIX", (1, 0): "SYS"},
            ("SYS", 0, 32 * GB, ["the two ends say PIX and SYS, taken as SYS"]),
            id="contradictory: the farther holds",
        ),
    ],
)
def test_levels_are_asked_both_ways(
    levels: dict[tuple[int, int], Level], way: tuple[str, int, int | None, list[str]]
) -> None:
    assert pair_of((gpu(0), gpu(1)), levels) == way


def test_sockets_are_numbered_by_their_lowest_cpu() -> None:
    cpus = {0: (8, 9), 1: (0, 1), 2: (8, 9), 3: ()}
    found = assembled(Read("n", "t", [gpu(index) for index in range(4)], socket_cpus=cpus))
    assert [socket.cpus for socket in found.sockets] == [(0, 1), (8, 9)]
    assert [one.socket for one in found.gpus] == [1, 0, 1, None]


def test_gaps_are_bounded_and_say_so() -> None:
    gaps = [Gap(gpu=0, what=f"thing {number}", why="no") for number in range(MAX_GAPS + 5)]
    found = assembled(Read("n", "t", [gpu(0)], gaps=gaps)).gaps
    assert len(found) == MAX_GAPS
    assert (found[-1].what, found[-1].why) == ("further gaps", "6 are left out")


def test_a_machine_of_one_gpu_has_no_pairs() -> None:
    assert machine(gpu(0)).pairs == ()
