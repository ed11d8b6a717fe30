import msgspec
import pytest

from plugins.topology.islands import busy, islands, sliced
from turnout.plugins.topology.keys import GpuState
from turnout.plugins.topology.machine import Machine, Memory, Power
from turnout.plugins.topology.structure import gpus_of, slices_of, state_of, structure, whole_profile

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
    # It has one of them, and nobody says which.
    assert state_of([first], ("1g.10gb", "3g.40gb")) == GpuState(9 * GIB, 10 * GIB, None, 0.5, None, lost=False)
    assert state_of([first], ("7g.80gb",)) == GpuState(None, None, None, 0.5, None, lost=False)


def test_devices_of_one_gpu_instance_count_once() -> None:
    machine = sliced(islands(), "1c.3g.40gb", "2c.3g.40gb", "3g.40gb")
    instances = [
        msgspec.structs.replace(one, gpu_instance=instance)
        for one, instance in zip(machine.gpus[0].mig_instances, (1, 1, 2), strict=True)
    ]
    first = msgspec.structs.replace(machine.gpus[0], mig_instances=tuple(instances))
    assert [one.gpu_instance for one in slices_of([first], ("3g.40gb",))] == [1, 2]


def test_what_is_not_certain_is_as_it_is_at_the_worst_gpu() -> None:
    machine = busy(with_memory(islands(lost=True), 10, 20, 30, 40), 0.5, 0.7, 0.1, 0.0)
    found = state_of(machine.gpus, (), certain=False)
    assert found == GpuState(10 * GIB, 80 * GIB, 0.7, 0.7, None, lost=False)


def test_a_gpu_that_is_lost_and_one_that_says_nothing() -> None:
    machine = islands(lost=True, memory=None)
    found = state_of(machine.gpus, ())
    assert found is not None
    assert (found.lost, found.memory_free) == (True, None)
    assert state_of((), ()) is None


@pytest.mark.parametrize(
    ("profile", "whole"), [("1c.3g.20gb", "3g.20gb"), ("3g.20gb", "3g.20gb"), ("1g.5gb+me", "1g.5gb+me"), ("", "")]
)
def test_a_compute_instance_is_part_of_a_gpu_instance(profile: str, whole: str) -> None:
    assert whole_profile(profile) == whole
