"""The topology document: one machine, its sockets, its GPUs, and what lies between each two of them.

The types are the document: encoded as JSON by msgspec they are what ``turnout topology --json`` prints, what
``--serve`` answers and what ``--write`` writes. Whoever reads it needs this JSON and none of our code. ``SCHEMA``
changes when a reader of the old document would misread a new one; fields may be added without that.

What the driver does not say is None (or empty) and never 0; why, stands in ``gaps``.
"""

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

SCHEMA = "turnout.topology/v1"

# Bounds of one document. More than these is no machine that we know of, but a driver or an agent that is broken.
MAX_GPUS = 64
MAX_LINKS = 64
MAX_MIG_INSTANCES = 64
MAX_PROCESSES = 256
MAX_GAPS = 1024
MAX_TEXT = 256
MAX_CPUS = 8192

Text: TypeAlias = Annotated[str, Meta(max_length=MAX_TEXT)]
Count: TypeAlias = Annotated[int, Meta(ge=0, le=2**53)]
Index: TypeAlias = Annotated[int, Meta(ge=0, lt=MAX_CPUS)]
Amount: TypeAlias = Annotated[float, Meta(ge=0, le=1e18)]
Fraction: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
Indices: TypeAlias = Annotated[tuple[Index, ...], Meta(max_length=MAX_CPUS)]

Level: TypeAlias = Literal["PIX", "PXB", "PHB", "NODE", "SYS"]
LEVELS: tuple[Level, ...] = ("PIX", "PXB", "PHB", "NODE", "SYS")


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes of memory."""

    total: Annotated[Count, Meta(description="bytes there are")]
    used: Annotated[Count, Meta(description="bytes in use")]
    free: Annotated[Count, Meta(description="bytes that can be had")]


class Pcie(msgspec.Struct, frozen=True, kw_only=True):
    """The PCIe link of a GPU. An idle GPU lowers its generation, so the bandwidth is that of the highest one."""

    generation: Annotated[Count | None, Meta(description="highest that GPU and slot can do")] = None
    width: Annotated[Count | None, Meta(description="lanes in use")] = None
    current_generation: Annotated[Count | None, Meta(description="at this moment; lower when idle")] = None
    max_width: Annotated[Count | None, Meta(description="lanes that GPU and slot can do")] = None
    bytes_per_second: Annotated[Count | None, Meta(description="each way, by generation and width")] = None


class NvLink(msgspec.Struct, frozen=True, kw_only=True):
    """One NVLink of a GPU."""

    link: Annotated[Count, Meta(description="its number on the GPU")]
    active: Annotated[bool, Meta(description="whether it is up")]
    peer: Annotated[Literal["gpu", "switch", "cpu", "unknown"], Meta(description="what is at the other end")]
    peer_gpu: Annotated[Index | None, Meta(description="index of that GPU, if it is one of the machine")] = None
    peer_bus_id: Annotated[Text, Meta(description="PCI address of the other end")] = ""
    version: Annotated[Text, Meta(description="of NVLink, such as 4.0")] = ""
    bytes_per_second: Annotated[Count | None, Meta(description="each way")] = None


class MigInstance(msgspec.Struct, frozen=True, kw_only=True):
    """One MIG device: a compute instance in a GPU instance."""

    index: Annotated[Index, Meta(description="its number on the GPU")]
    uuid: Annotated[Text, Meta(description="MIG-...")] = ""
    profile: Annotated[Text, Meta(description="such as 1g.5gb")] = ""
    gpu_instance: Annotated[Count | None, Meta(description="ID of the GPU instance")] = None
    compute_instance: Annotated[Count | None, Meta(description="ID of the compute instance")] = None
    slices: Annotated[Count | None, Meta(description="compute slices of the GPU instance")] = None
    memory: Annotated[Memory | None, Meta(description="of the GPU instance")] = None


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """A process that computes on a GPU. Its name and arguments are left out: they may hold secrets."""

    pid: Annotated[Count, Meta(description="in the PID namespace of the driver")]
    memory_bytes: Annotated[Count | None, Meta(description="GPU memory it uses")] = None
    gpu_instance: Annotated[Count | None, Meta(description="the MIG GPU instance it runs in")] = None


class Power(msgspec.Struct, frozen=True, kw_only=True):
    """Electrical power in watts."""

    watts: Annotated[Amount | None, Meta(description="drawn now")] = None
    limit_watts: Annotated[Amount | None, Meta(description="the limit in force")] = None


class Gpu(msgspec.Struct, frozen=True, kw_only=True):
    """One GPU. One that fell off the bus is ``lost`` and has no more than was read before."""

    index: Annotated[Index, Meta(description="as nvidia-smi counts")]
    uuid: Annotated[Text, Meta(description="GPU-...")] = ""
    name: Annotated[Text, Meta(description="as the driver says")] = ""
    bus_id: Annotated[Text, Meta(description="PCI address")] = ""
    lost: Annotated[bool, Meta(description="fell off the bus, or needs a reset")] = False
    memory: Annotated[Memory | None, Meta(description="of the whole GPU")] = None
    pcie: Pcie = Pcie()
    socket: Annotated[Index | None, Meta(description="the socket it is attached to")] = None
    numa_nodes: Annotated[Indices, Meta(description="NUMA nodes nearest to it")] = ()
    cpus: Annotated[Indices, Meta(description="CPUs nearest to it")] = ()
    gpu_numa_node: Annotated[Count | None, Meta(description="its own, where the GPU is one (GH200)")] = None
    nvlinks: Annotated[tuple[NvLink, ...], Meta(max_length=MAX_LINKS)] = ()
    mig_enabled: Annotated[bool | None, Meta(description="null: it cannot do MIG, or unknown")] = None
    mig_instances: Annotated[tuple[MigInstance, ...], Meta(max_length=MAX_MIG_INSTANCES)] = ()
    utilization: Annotated[Fraction | None, Meta(description="share of time in which it computed")] = None
    memory_utilization: Annotated[Fraction | None, Meta(description="share of time its memory was busy")] = None
    temperature_celsius: Annotated[Count | None, Meta(description="of the die")] = None
    power: Power = Power()
    throttled: Annotated[
        tuple[Text, ...] | None, Meta(description="what slows its clocks: power, thermal, hardware")
    ] = None
    processes: Annotated[tuple[Process, ...], Meta(max_length=MAX_PROCESSES)] = ()


class Socket(msgspec.Struct, frozen=True, kw_only=True):
    """A CPU socket that has GPUs; numbered by their lowest CPU."""

    index: Annotated[Index, Meta(description="its number")]
    cpus: Annotated[Indices, Meta(description="its CPUs")]


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """What lies between two GPUs."""

    a: Annotated[Index, Meta(description="index of a GPU")]
    b: Annotated[Index, Meta(description="index of another, higher")]
    link: Annotated[Text, Meta(description="as nvidia-smi topo -m says: NV and a number, else the level; ? unknown")]
    level: Annotated[Level | None, Meta(description="the nearest common ancestor on PCIe: PIX, PXB, PHB, NODE, SYS")]
    nvlinks: Annotated[Count, Meta(description="NVLinks between them, through switches or not")] = 0
    switched: Annotated[bool, Meta(description="whether these pass an NVSwitch")] = False
    bytes_per_second: Annotated[
        Count | None, Meta(description="each way: of all these NVLinks, else of the slower PCIe link")
    ] = None


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is not in the document, or that the driver contradicts itself about."""

    gpu: Annotated[Index | None, Meta(description="index of the GPU, null: of the machine")]
    what: Annotated[Text, Meta(description="what is missing")]
    why: Annotated[Text, Meta(description="as the driver says")]


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """One machine at one moment."""

    schema: Annotated[Text, Meta(description=f"`{SCHEMA}`")] = SCHEMA
    node: Annotated[Text, Meta(description="name of the machine")]
    read_at: Annotated[Text, Meta(description="when it was read, UTC, ISO 8601")]
    driver_version: Annotated[Text, Meta(description="of the NVIDIA driver")] = ""
    nvml_version: Annotated[Text, Meta(description="of its library")] = ""
    gpus: Annotated[tuple[Gpu, ...], Meta(max_length=MAX_GPUS)]
    sockets: Annotated[tuple[Socket, ...], Meta(max_length=MAX_GPUS)] = ()
    pairs: Annotated[tuple[Pair, ...], Meta(max_length=MAX_GPUS * (MAX_GPUS - 1) // 2)] = ()
    gaps: Annotated[tuple[Gap, ...], Meta(max_length=MAX_GAPS)] = ()
