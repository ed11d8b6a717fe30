"""What of a machine stays as it is from one reading to the next, and how its GPUs are at the moment. Pure."""

from collections.abc import Sequence
from statistics import fmean

from msgspec.structs import replace

from turnout.plugins.topology.keys import GpuState
from turnout.plugins.topology.machine import Gpu, Machine, Memory, MigInstance, Pcie, Power


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


def slices_of(gpus: Sequence[Gpu], profiles: Sequence[str]) -> Sequence[MigInstance]:
    """The MIG instances on these GPUs, those of the profiles if any are named."""
    instances = [one for gpu in gpus for one in gpu.mig_instances]
    return [one for one in instances if one.profile in profiles] if profiles else instances


def state_of(gpus: Sequence[Gpu], profiles: Sequence[str]) -> GpuState | None:
    """How these GPUs, or the slices of these profiles on them, are; None without any.

    A slice has memory of its own and shares everything else with its GPU, whose utilization no driver tells then.
    """
    if not gpus:
        return None
    slices = slices_of(gpus, profiles)
    memories = [part.memory for part in (slices or gpus)]
    known = [memory for memory in memories if memory is not None]
    throttles = [gpu.throttled for gpu in gpus if gpu.throttled is not None]
    busy = [gpu.utilization for gpu in gpus if gpu.utilization is not None]
    power = [gpu.power.watts / gpu.power.limit_watts for gpu in gpus if gpu.power.watts and gpu.power.limit_watts]
    complete = len(known) == len(memories)
    return GpuState(
        memory_free=sum(memory.free for memory in known) if complete else None,
        memory_total=sum(memory.total for memory in known) if complete else None,
        utilization=fmean(busy) if busy else None,
        power=max(power, default=None),
        throttled=frozenset(word for words in throttles for word in words) if throttles else None,
        lost=any(gpu.lost for gpu in gpus),
    )
