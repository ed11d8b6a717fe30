"""The MIG devices of one GPU, which may be made anew while they are read."""

import pynvml

from turnout.epp.topology.driver_calls import NOT_SUPPORTED, NOT_THERE, GpuCalls
from turnout.epp.topology.mig_profiles import profile_in, profile_of
from turnout.plugins.topology.machine import MAX_MIG_INSTANCES, Memory, MigInstance

_MIB = 1024 * 1024
_MOST = 2**31


def read_mig_mode(calls: GpuCalls, handle: object) -> bool | None:
    """Whether MIG is on; None if the GPU cannot do it."""
    modes = calls.ask("the MIG mode", pynvml.nvmlDeviceGetMigMode, handle, absent=NOT_SUPPORTED)
    return None if modes is None else bool(modes[0] == pynvml.NVML_DEVICE_MIG_ENABLE)


def read_mig_instances(calls: GpuCalls, handle: object, gpu_memory: Memory | None) -> tuple[MigInstance, ...]:
    """The MIG devices that were there throughout the reading."""
    count = calls.number(
        "the number of MIG instances", pynvml.nvmlDeviceGetMaxMigDeviceCount, handle, limit=MAX_MIG_INSTANCES
    )
    found = (_instance(calls, handle, index, gpu_memory) for index in range(count or 0))
    return tuple(instance for instance in found if instance is not None)


def _instance(calls: GpuCalls, handle: object, index: int, gpu_memory: Memory | None) -> MigInstance | None:
    what = f"MIG instance {index}"
    # A free place answers NOT_FOUND.
    mig = calls.ask(what, pynvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, index, absent=NOT_THERE)
    if mig is None:
        return None
    uuid = calls.ask(f"the UUID of {what}", pynvml.nvmlDeviceGetUUID, mig, absent=NOT_THERE)
    if uuid is None:
        calls.missing(what, "it went away while it was read")
        return None
    name = calls.text(f"the name of {what}", pynvml.nvmlDeviceGetName, mig)
    attributes = calls.ask(f"the attributes of {what}", pynvml.nvmlDeviceGetAttributes, mig)
    return MigInstance(
        index=index,
        uuid=str(uuid),
        profile=profile_in(name) or _profile(attributes, gpu_memory),
        gpu_instance=calls.number(f"the GPU instance of {what}", pynvml.nvmlDeviceGetGpuInstanceId, mig, limit=_MOST),
        compute_instance=calls.number(
            f"the compute instance of {what}", pynvml.nvmlDeviceGetComputeInstanceId, mig, limit=_MOST
        ),
        slices=None if attributes is None else int(attributes.gpuInstanceSliceCount),
        memory=read_memory(calls, mig, f"the memory of {what}"),
    )


def _profile(attributes: pynvml.c_nvmlDeviceAttributes | None, gpu_memory: Memory | None) -> str:
    if attributes is None or gpu_memory is None or gpu_memory.total < _MIB:
        return ""
    slices, compute_slices = int(attributes.gpuInstanceSliceCount), int(attributes.computeInstanceSliceCount)
    return profile_of(slices, compute_slices, int(attributes.memorySizeMB), gpu_memory.total // _MIB)


def read_memory(calls: GpuCalls, handle: object, what: str) -> Memory | None:
    """Memory of a GPU or a MIG device. What the driver keeps for itself is neither used nor free."""
    version = pynvml.nvmlMemory_v2
    # Older drivers do not know the second version of the question.
    older = NOT_SUPPORTED | {pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH}
    found = calls.ask(what, pynvml.nvmlDeviceGetMemoryInfo, handle, version, absent=older)
    if found is None:
        found = calls.ask(what, pynvml.nvmlDeviceGetMemoryInfo, handle)
    if found is None:
        return None
    total, used, free = int(found.total), int(found.used), int(found.free)
    if max(used, free) > total or total > 2**53:
        calls.missing(what, f"the driver says {used} used and {free} free of {total}, which cannot be")
        return None
    return Memory(total=total, used=used, free=free)
