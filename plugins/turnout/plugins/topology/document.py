"""Topology documents as bytes and back, and as labels of an endpoint. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

import msgspec

from turnout.epp.topology.machine import SCHEMA, Gpu, Machine
from turnout.epp.topology.mig_profiles import whole_profile

MAX_BYTES = 4 * 1024 * 1024

GPU_TYPE, GPU_MEMORY, GPU_COUNT = "gpu-type", "gpu-memory", "gpu-count"
GPU_TOPOLOGY, MIG_CONFIG = "gpu-topology", "mig-config"

_MIB = 1024 * 1024


def encoded(machine: Machine) -> bytes:
    """The document as one line of JSON."""
    return msgspec.json.encode(machine)


def parse(text: bytes) -> Machine:
    """Reads a document that someone else wrote, and believes nothing that cannot be.

    Raises:
        ValueError: it is too long, no topology document, of another version, or contradicts itself.
    """
    if len(text) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes")
    try:
        schema = msgspec.json.decode(text, type=_Head).schema
        if schema != SCHEMA:
            raise ValueError(f"schema is {schema[:80]!r}, this reads {SCHEMA!r}")
        machine = msgspec.json.decode(text, type=Machine)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"no topology document: {error}") from error
    _check_consistent(machine)
    return machine


class _Head(msgspec.Struct):
    schema: str


def _check_consistent(machine: Machine) -> None:
    indices = [gpu.index for gpu in machine.gpus]
    if indices != sorted(set(indices)):
        raise ValueError("the GPUs are not in order of their index, or one is there twice")
    pairs = [(pair.a, pair.b) for pair in machine.pairs]
    if sorted(pairs) != list(combinations(indices, 2)):
        raise ValueError("there is not one pair for each two GPUs")
    sockets = {socket.index for socket in machine.sockets}
    for gpu in machine.gpus:
        if gpu.socket is not None and gpu.socket not in sockets:
            raise ValueError(f"GPU {gpu.index} is on socket {gpu.socket}, which is not listed")
        if any(link.peer_gpu == gpu.index for link in gpu.nvlinks):
            raise ValueError(f"GPU {gpu.index} has an NVLink to itself")
    for pair in machine.pairs:
        if (pair.nvlinks > 0) != pair.link.startswith("NV"):
            raise ValueError(f"GPU {pair.a} to GPU {pair.b} is {pair.link!r} with {pair.nvlinks} NVLinks")


def labels(machine: Machine) -> Mapping[str, str]:
    """What all GPUs of the machine have in common, as labels; what they do not agree about has none."""
    gpus = [gpu for gpu in machine.gpus if not gpu.lost]
    found = {
        GPU_TYPE: _common([_label_value(gpu.name) for gpu in gpus]),
        GPU_MEMORY: _common([f"{gpu.memory.total // _MIB}Mi" if gpu.memory else "" for gpu in gpus]),
        GPU_COUNT: str(len(gpus)) if gpus else "",
        GPU_TOPOLOGY: _topology(machine),
        MIG_CONFIG: _mig_config([profile for gpu in gpus for profile in _gpu_instances(gpu)]),
    }
    return {name: value for name, value in found.items() if value}


def _common(values: Sequence[str]) -> str:
    return values[0] if len(set(values)) == 1 else ""


def _label_value(text: str) -> str:
    # As NVIDIA's feature discovery writes nvidia.com/gpu.product.
    return "-".join(text.split())


def _topology(machine: Machine) -> str:
    lost = {gpu.index for gpu in machine.gpus if gpu.lost}
    pairs = [pair for pair in machine.pairs if pair.a not in lost and pair.b not in lost]
    linked = sum(pair.nvlinks > 0 for pair in pairs)
    if not pairs:
        return ""
    return {len(pairs): "nvlink", 0: "pcie"}.get(linked, "nvlink-islands")


def _gpu_instances(gpu: Gpu) -> Iterable[str]:
    """Profiles of the GPU instances; several MIG devices may be compute instances of one."""
    return {
        one.index if one.gpu_instance is None else f"GI {one.gpu_instance}": whole_profile(one.profile)
        for one in gpu.mig_instances
    }.values()


def _mig_config(profiles: Sequence[str]) -> str:
    known = [profile for profile in profiles if profile]
    return ",".join(f"{profile}:{known.count(profile)}" for profile in sorted(set(known)))
