"""What of a machine stays as it is from one reading to the next, and how its GPUs are at the moment. Pure."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace as replace_fields
from statistics import fmean

from msgspec.structs import replace

from turnout.plugins.topology.keys import GpuState
from turnout.plugins.topology.machine import Gpu, Machine, Memory, MigInstance, Pcie, Power

_COMPUTE_PART = re.compile(r"\A[1-8]c\.")


def structure(machine: Machine) -> Machine:
    """The machine without what differs between two readings of one and the same: equal ones are the same machine."""
    return replace(machine, read_at="", gaps=(), gpus=tuple(map(_lasting, machine.gpus)))


def _lasting(gpu: Gpu) -> Gpu:
    return replace(
        gpu,
        memory=_size(gpu.memory),
        pcie=replace(gpu.pcie, current_generation=None) if gpu.pcie != Pcie() else gpu.pcie,
        mig_instances=tuple(replace(one, memory=_size(one.memory)) for one in gpu.mig_instances),
        utilization=None,
        memory_utilization=None,
        temperature_celsius=None,
        power=Power(),
        throttled=None,
        processes=(),
    )


def _size(memory: Memory | None) -> Memory | None:
    return None if memory is None else Memory(total=memory.total, used=0, free=0)


def gpus_of(machine: Machine, indices: Sequence[int]) -> Sequence[Gpu]:
    """The machine's GPUs with these indices, or all without indices; those that it does not have are left out."""
    if not indices:
        return machine.gpus
    wanted = frozenset(indices)
    return [gpu for gpu in machine.gpus if gpu.index in wanted]


def whole_profile(profile: str) -> str:
    """The profile of the GPU instance in which a compute instance of this profile is."""
    return _COMPUTE_PART.sub("", profile)


def slices_of(gpus: Sequence[Gpu], profiles: Sequence[str]) -> Sequence[MigInstance]:
    """The GPU instances on these GPUs, those of the profiles if any are named; several devices may be parts of one."""
    wanted = frozenset(profiles)
    found: dict[tuple[int, int | None, int], MigInstance] = {}
    for gpu in gpus:
        for one in gpu.mig_instances:
            if not wanted or whole_profile(one.profile) in wanted:
                apart = one.index if one.gpu_instance is None else -1
                found.setdefault((gpu.index, one.gpu_instance, apart), one)
    return list(found.values())


def state_of(gpus: Sequence[Gpu], profiles: Sequence[str], *, certain: bool = True) -> GpuState | None:
    """How these GPUs, or the slices of these profiles on them, are; None without any.

    They are taken together if the endpoint certainly has all of them. Otherwise it is as it is at the worst of them,
    and of slices as well, of which the endpoint has one. A slice has memory of its own and shares everything else with
    its GPU, whose utilization no driver tells then.
    """
    if not gpus:
        return None
    states = [_state(gpu) for gpu in gpus]
    whole = together(states) if certain else worst(states)
    if not profiles:
        return whole
    slices = slices_of(gpus, profiles)
    memories = [one.memory for one in slices if one.memory is not None]
    least = min(memories, key=lambda memory: memory.free) if memories and len(memories) == len(slices) else None
    return replace_fields(
        whole,
        memory_free=None if least is None else least.free,
        memory_total=None if least is None else least.total,
    )


def together(states: Sequence[GpuState]) -> GpuState:
    """All of these as one: memory if it is known of all, and lost if one is."""
    busy = [state.utilization for state in states if state.utilization is not None]
    return GpuState(
        memory_free=_sum([state.memory_free for state in states]),
        memory_total=_sum([state.memory_total for state in states]),
        utilization=fmean(busy) if busy else None,
        power=_most(state.power for state in states),
        throttled=_any_throttled(states),
        lost=any(state.lost for state in states),
    )


def worst(states: Sequence[GpuState]) -> GpuState:
    """As it is at the worst of these, each figure by itself; lost only if all are."""
    fullest = min(
        (state for state in states if state.memory_free is not None),
        key=lambda state: state.memory_free or 0,
        default=GpuState(),
    )
    return GpuState(
        memory_free=fullest.memory_free,
        memory_total=fullest.memory_total,
        utilization=_most(state.utilization for state in states),
        power=_most(state.power for state in states),
        throttled=_any_throttled(states),
        lost=all(state.lost for state in states),
    )


def _sum(sizes: Sequence[int | None]) -> int | None:
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None


def _most(shares: Iterable[float | None]) -> float | None:
    return max((share for share in shares if share is not None), default=None)


def _any_throttled(states: Sequence[GpuState]) -> frozenset[str] | None:
    known = [state.throttled for state in states if state.throttled is not None]
    return frozenset().union(*known) if known else None


def _state(gpu: Gpu) -> GpuState:
    watts, limit = gpu.power.watts, gpu.power.limit_watts
    return GpuState(
        memory_free=None if gpu.memory is None else gpu.memory.free,
        memory_total=None if gpu.memory is None else gpu.memory.total,
        utilization=gpu.utilization,
        power=watts / limit if watts and limit else None,
        throttled=None if gpu.throttled is None else frozenset(gpu.throttled),
        lost=gpu.lost,
    )
