import msgspec
import pytest

from plugins.topology.islands import busy, islands, sliced
from turnout.plugins.topology.keys import GpuState
from turnout.plugins.topology.machine import Machine, Memory, Power
from turnout.plugins.topology.structure import gpus_of, state_of, structure

GIB = 2**30


def with_memory(machine: Machine, *free_gib: int) -> Machine:
    gpus = [
        msgspec.structs.replace(one, memory=Memory(total=80 * GIB, used=(80 - free) * GIB, free=free * GIB))
        for one, free in zip(machine.gpus, free_gib, strict=True)
    ]
    return msgspec.structs.replace(machine, gpus=tuple(gpus))


def test_readings_that_differ_in_what_changes_are_of_the_same_machine() -> None:
    before = islands()
    after = msgspec.structs.replace(busy(with_memory(before, 1, 2, 3, 4), 0.1, 0.2, 0.3, 0.4), read_at="later")
    assert before != after
    assert structure(before) == structure(after)


@pytest.mark.parametrize(
    "after",
    [
        pytest.param(sliced(islands(), "1g.10gb"), id="sliced"),
        pytest.param(islands(lost=True), id="a GPU fell off the bus"),
        pytest.param(islands(nvlinks=()), id="NVLink is down"),
    ],
)
def test_readings_that_differ_in_what_stays_are_not(after: Machine) -> None:
    assert structure(islands()) != structure(after)


def test_the_state_is_that_of_the_gpus_together() -> None:
    machine = busy(with_memory(islands(), 10, 20, 30, 40), 0.5, 0.7, 0.0, 0.0)
    found = state_of(gpus_of(machine, (0, 1)), ())
    assert found == GpuState(30 * GIB, 160 * GIB, 0.6, 0.7, None, lost=False)


def test_what_slows_one_gpu_slows_the_endpoint() -> None:
    machine = islands(throttled=("thermal",))
    state = state_of(machine.gpus, ())
    assert state is not None
    assert state.throttled == frozenset({"thermal"})
    idle = state_of(gpus_of(machine, (1,)), ())
    assert idle is not None
    assert idle.throttled is None


def test_a_slice_has_memory_of_its_own() -> None:
    machine = sliced(islands(power=Power(watts=350.0, limit_watts=700.0)), "1g.10gb", "3g.40gb")
    instances = [
        msgspec.structs.replace(one, memory=Memory(total=size * GIB, used=GIB, free=(size - 1) * GIB))
        for one, size in zip(machine.gpus[0].mig_instances, (10, 40), strict=True)
    ]
    first = msgspec.structs.replace(machine.gpus[0], mig_instances=tuple(instances))
    assert state_of([first], ("3g.40gb",)) == GpuState(39 * GIB, 40 * GIB, None, 0.5, None, lost=False)
    assert state_of([first], ()) == GpuState(48 * GIB, 50 * GIB, None, 0.5, None, lost=False)


def test_a_gpu_that_is_lost_and_one_that_says_nothing() -> None:
    machine = islands(lost=True, memory=None)
    found = state_of(machine.gpus, ())
    assert found is not None
    assert (found.lost, found.memory_free) == (True, None)
    assert state_of((), ()) is None
