"""What the GPUs of a machine have in common, as labels of its endpoints. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from turnout.plugins.topology.machine import Gpu, Machine
from turnout.plugins.topology.structure import whole_profile

GPU_TYPE, GPU_MEMORY, GPU_COUNT = "gpu-type", "gpu-memory", "gpu-count"
GPU_TOPOLOGY, MIG_CONFIG = "gpu-topology", "mig-config"

_MIB = 1024 * 1024


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
