"""Reads the machine from the NVIDIA driver, through its library NVML.

The library is opened and closed for each reading: an open one would keep others from switching MIG on or off and from
resetting a GPU.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import permutations

import pynvml
from msgspec import structs

from turnout.epp.topology.assembly import Read, assembled
from turnout.epp.topology.driver_calls import NOT_SUPPORTED, NOT_THERE, NOTHING, GpuCalls
from turnout.epp.topology.mig_reading import read_memory, read_mig_instances, read_mig_mode
from turnout.epp.topology.nvlink_reading import bus_id_of, read_nvlinks
from turnout.epp.topology.rates import pcie_rate
from turnout.epp.topology.reading import NoGpuError
from turnout.plugins.topology.machine import (
    MAX_CPUS,
    MAX_GPUS,
    MAX_PROCESSES,
    Gpu,
    Level,
    Machine,
    Pcie,
    Power,
    Process,
)
from turnout.plugins.topology.throttling import reasons

_LEVELS: Mapping[int, Level] = {
    pynvml.NVML_TOPOLOGY_INTERNAL: "PIX",  # two GPUs on one board: its switch is between them
    pynvml.NVML_TOPOLOGY_SINGLE: "PIX",
    pynvml.NVML_TOPOLOGY_MULTIPLE: "PXB",
    pynvml.NVML_TOPOLOGY_HOSTBRIDGE: "PHB",
    pynvml.NVML_TOPOLOGY_NODE: "NODE",
    pynvml.NVML_TOPOLOGY_SYSTEM: "SYS",
}
_WORD_BITS = 64
_WORDS = MAX_CPUS // _WORD_BITS
_NO_INSTANCE = 0xFFFFFFFF
_MOST_MILLIWATTS = 10**8
_HOTTEST = 1000
_MOST_LANES = 1024


def read_machine(node: str, read_at: str) -> Machine:
    """Asks the driver for everything. Takes milliseconds, or seconds where no process keeps the driver loaded.

    Raises:
        NoGpuError: there is nothing to read; the message says why, and what may help.
    """
    with _open_library():
        machine = GpuCalls(None)
        readings = [_OneGpu(index) for index in range(_count(machine))]
        gpus = _read_gpus(readings)
        levels = _read_levels(readings)
        return assembled(
            Read(
                node=node,
                read_at=read_at,
                gpus=[structs.replace(gpu, lost=one.calls.lost) for gpu, one in zip(gpus, readings, strict=True)],
                levels=levels,
                socket_cpus={one.index: one.socket_cpus for one in readings},
                driver_version=machine.text("the driver's version", pynvml.nvmlSystemGetDriverVersion),
                nvml_version=machine.text("the library's version", pynvml.nvmlSystemGetNVMLVersion),
                gaps=[*machine.gaps, *(gap for one in readings for gap in one.calls.gaps)],
            )
        )


def _count(machine: GpuCalls) -> int:
    count = machine.number("the number of GPUs", pynvml.nvmlDeviceGetCount, limit=MAX_GPUS)
    if count is None:
        raise NoGpuError(f"the NVIDIA driver does not say how many GPUs there are: {machine.gaps[0].why}")
    if not count:
        raise NoGpuError("the NVIDIA driver is loaded, but there is no GPU for it (or none in this container)")
    return count


@contextmanager
def _open_library() -> Iterator[None]:
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise NoGpuError(_no_library(error)) from error
    try:
        yield
    finally:
        with suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def _no_library(error: pynvml.NVMLError) -> str:
    hints = {
        pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: "no NVIDIA driver on this machine: libnvidia-ml.so.1 is not found. In a"
        " container it comes from the NVIDIA container runtime (nvidia.com/gpu, or --gpus all)",
        pynvml.NVML_ERROR_DRIVER_NOT_LOADED: "the NVIDIA driver is installed but not loaded: modprobe nvidia",
        pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: "the NVIDIA driver was changed while it was in use: library and"
        " kernel module are of different versions. Load the new module, or restart the machine",
        pynvml.NVML_ERROR_NO_PERMISSION: "the NVIDIA driver refuses this user: look at /dev/nvidiactl",
        pynvml.NVML_ERROR_FUNCTION_NOT_FOUND: "the NVIDIA driver is too old: its library has no nvmlInitWithFlags",
    }
    return hints.get(error.value) or f"the NVIDIA driver does not start: {error}"


def _read_gpus(readings: Sequence["_OneGpu"]) -> list[Gpu]:
    indices = {one.bus_id: one.index for one in readings if one.bus_id}
    return [one.read(indices) for one in readings]


def _read_levels(readings: Sequence["_OneGpu"]) -> dict[tuple[int, int], Level]:
    levels: dict[tuple[int, int], Level] = {}
    for one, other in permutations(readings, 2):
        if one.calls.lost or other.calls.lost:
            continue
        what = f"the way to GPU {other.index}"
        said = one.calls.ask(what, pynvml.nvmlDeviceGetTopologyCommonAncestor, one.handle, other.handle)
        if said is not None and said in _LEVELS:
            levels[one.index, other.index] = _LEVELS[said]
        elif said is not None:
            one.calls.missing(what, f"the driver says {said}, which is no level")
    return levels


class _OneGpu:
    """The reading of one GPU. Once it is lost, nothing more is asked of it."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.calls = GpuCalls(index)
        self.socket_cpus: tuple[int, ...] = ()
        self.handle: object = self.calls.ask("the GPU", pynvml.nvmlDeviceGetHandleByIndex, index)
        # Nothing can be asked without a handle, whatever the reason.
        self.calls.lost = self.handle is None
        self.bus_id = self.calls.text("the PCI address", self._own_bus_id)

    def _own_bus_id(self) -> str:
        return bus_id_of(pynvml.nvmlDeviceGetPciInfo(self.handle))

    def read(self, indices: Mapping[str, int]) -> Gpu:
        """Everything about this GPU alone."""
        calls, handle = self.calls, self.handle
        gpu = Gpu(
            index=self.index,
            bus_id=self.bus_id,
            uuid=calls.text("the UUID", pynvml.nvmlDeviceGetUUID, handle),
            name=calls.text("the name", pynvml.nvmlDeviceGetName, handle),
            memory=read_memory(calls, handle, "the memory"),
            mig_enabled=read_mig_mode(calls, handle),
            pcie=self._pcie(),
            numa_nodes=self._numa_nodes(),
            cpus=self._cpus("the nearest CPUs", pynvml.NVML_AFFINITY_SCOPE_NODE),
            gpu_numa_node=self._own_numa_node(),
            nvlinks=read_nvlinks(calls, handle, indices),
            processes=self._processes(),
        )
        self.socket_cpus = self._cpus("the socket", pynvml.NVML_AFFINITY_SCOPE_SOCKET)
        return self._now(gpu)

    def _now(self, gpu: Gpu) -> Gpu:
        """With what changes all the time."""
        calls, handle = self.calls, self.handle
        instances = read_mig_instances(calls, handle, gpu.memory) if gpu.mig_enabled else ()
        # Nobody knows it of a GPU in slices; nvidia-smi shows N/A.
        absent = NOT_SUPPORTED if gpu.mig_enabled else NOTHING
        rates = calls.ask("the utilization", pynvml.nvmlDeviceGetUtilizationRates, handle, absent=absent)
        return structs.replace(
            gpu,
            mig_instances=instances,
            utilization=None if rates is None else self._share("the utilization", rates.gpu),
            memory_utilization=None if rates is None else self._share("the utilization of memory", rates.memory),
            temperature_celsius=calls.number(
                "the temperature", pynvml.nvmlDeviceGetTemperature, handle, pynvml.NVML_TEMPERATURE_GPU, limit=_HOTTEST
            ),
            power=self._power(),
            throttled=self._throttled(),
        )

    def _share(self, what: str, percent: int) -> float | None:
        known = self.calls.number(what, lambda: percent, limit=100)
        return None if known is None else known / 100

    def _pcie(self) -> Pcie:
        calls, handle = self.calls, self.handle
        generation = calls.number(
            "the PCIe generation", pynvml.nvmlDeviceGetMaxPcieLinkGeneration, handle, limit=_MOST_LANES
        )
        width = calls.number("the PCIe width", pynvml.nvmlDeviceGetCurrPcieLinkWidth, handle, limit=_MOST_LANES)
        return Pcie(
            generation=generation,
            width=width,
            current_generation=calls.number(
                "the current PCIe generation", pynvml.nvmlDeviceGetCurrPcieLinkGeneration, handle, limit=_MOST_LANES
            ),
            max_width=calls.number(
                "the highest PCIe width", pynvml.nvmlDeviceGetMaxPcieLinkWidth, handle, limit=_MOST_LANES
            ),
            bytes_per_second=pcie_rate(generation, width),
        )

    def _numa_nodes(self) -> tuple[int, ...]:
        words = self.calls.ask(
            "the nearest NUMA nodes",
            pynvml.nvmlDeviceGetMemoryAffinity,
            self.handle,
            _WORDS,
            pynvml.NVML_AFFINITY_SCOPE_NODE,
        )
        return _bits(words or ())

    def _cpus(self, what: str, scope: int) -> tuple[int, ...]:
        words = self.calls.ask(what, pynvml.nvmlDeviceGetCpuAffinityWithinScope, self.handle, _WORDS, scope)
        return _bits(words or ())

    def _own_numa_node(self) -> int | None:
        node = self.calls.ask("its own NUMA node", pynvml.nvmlDeviceGetNumaNodeId, self.handle, absent=NOT_THERE)
        return node if node is not None and node >= 0 else None

    def _power(self) -> Power:
        calls, handle = self.calls, self.handle
        drawn = calls.number("the power", pynvml.nvmlDeviceGetPowerUsage, handle, limit=_MOST_MILLIWATTS)
        limit = calls.number("the power limit", pynvml.nvmlDeviceGetEnforcedPowerLimit, handle, limit=_MOST_MILLIWATTS)
        return Power(watts=None if drawn is None else drawn / 1000, limit_watts=None if limit is None else limit / 1000)

    def _throttled(self) -> tuple[str, ...] | None:
        calls, handle = self.calls, self.handle
        # The newer name came with driver 535.
        newer = pynvml.nvmlDeviceGetCurrentClocksEventReasons
        bits = calls.ask("what slows its clocks", newer, handle, absent=NOT_SUPPORTED)
        if bits is None:
            bits = calls.ask("what slows its clocks", pynvml.nvmlDeviceGetCurrentClocksThrottleReasons, handle)
        return None if bits is None else reasons(bits)

    def _processes(self) -> tuple[Process, ...]:
        found = self.calls.ask("the processes", pynvml.nvmlDeviceGetComputeRunningProcesses, self.handle) or []
        if len(found) > MAX_PROCESSES:
            self.calls.missing("processes", f"{len(found) - MAX_PROCESSES} more than are listed")
        return tuple(
            Process(
                pid=process.pid,
                memory_bytes=process.usedGpuMemory,
                gpu_instance=None if process.gpuInstanceId == _NO_INSTANCE else process.gpuInstanceId,
            )
            for process in found[:MAX_PROCESSES]
        )


def _bits(words: Sequence[int]) -> tuple[int, ...]:
    return tuple(
        word_index * _WORD_BITS + bit
        for word_index, word in enumerate(words)
        if word
        for bit in range(_WORD_BITS)
        if word >> bit & 1
    )
