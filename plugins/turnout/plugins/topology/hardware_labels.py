"""What an endpoint's labels say about its GPUs. Labels are anybody's: what makes no sense is told and ignored."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from turnout.plugins.topology.machine import MAX_GPUS

T = TypeVar("T")

_LONGEST = 256
_MIB, _GIB, _TIB = 2**20, 2**30, 2**40
_SMALLEST_MEMORY, _LARGEST_MEMORY = _GIB // 2, 4 * _TIB
"""No GPU with less or more is known: a label beyond has another unit."""

_SIZE = re.compile(r"([0-9]{1,15})(Ki|Mi|Gi|Ti|k|M|G|T)?", re.ASCII)
_UNITS = {"": _MIB, "Ki": 2**10, "Mi": _MIB, "Gi": _GIB, "Ti": _TIB, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_RANGE = re.compile(r"([0-9]{1,3})(?:-([0-9]{1,3}))?", re.ASCII)
_PROFILE = re.compile(r"[1-8]g\.[0-9]{1,4}gb(?:[+-][a-z.]+)*", re.ASCII)
_LINKED = {"nvlink": True, "nvswitch": True, "pcie": False}


@dataclass(frozen=True, slots=True)
class Stated:
    """What labels say. ``nvlink`` is whether all GPUs of the host have NVLink to each other; None: not said.

    ``problems`` are the labels that make no sense, each with what it should be.
    """

    gpus: tuple[int, ...] = ()
    gpu_type: str = ""
    gpu_memory: int | None = None
    gpu_count: int | None = None
    host_gpu_count: int | None = None
    nvlink: bool | None = None
    mig_profiles: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HardwareLabels:
    """The names of labels about GPUs. Of several names the first that an endpoint has counts; without any: not said.

    ``gpus`` lists the indices of the endpoint's GPUs on its host, ``0-3`` or ``0_1`` (or ``0,1``, which Kubernetes does
    not allow in a label). ``gpu_memory`` is that of one GPU, a number of MiB as NVIDIA's feature discovery writes it or
    a quantity. ``host_gpu_count`` is how many the whole host has. ``gpu_topology`` is ``nvlink`` (or ``nvswitch``),
    ``nvlink-islands`` or ``pcie``. ``mig_config`` lists the slices, ``1g.5gb:7,2g.10gb:3`` or
    ``1g.5gb.x7_2g.10gb.x3``.
    """

    gpus: Sequence[str] = ("turnout/gpus",)
    gpu_type: Sequence[str] = ("gpu-type", "nvidia.com/gpu.product")
    gpu_memory: Sequence[str] = ("gpu-memory", "nvidia.com/gpu.memory")
    gpu_count: Sequence[str] = ("gpu-count",)
    host_gpu_count: Sequence[str] = ("nvidia.com/gpu.count",)
    gpu_topology: Sequence[str] = ("gpu-topology",)
    mig_config: Sequence[str] = ("mig-config",)

    def read(self, labels: Mapping[str, str]) -> Stated:
        """What these labels say."""
        problems: list[str] = []

        def found(names: Sequence[str], reader: Callable[[str], T], otherwise: T) -> T:
            name = next((name for name in names if name in labels), None)
            if name is None:
                return otherwise
            try:
                return reader(labels[name][: _LONGEST + 1])
            except ValueError as error:
                problems.append(f"label {name} must be {error}, got {labels[name][:40]!r}")
                return otherwise

        none: tuple[int, ...] = ()
        nothing: int | None = None
        unknown: bool | None = None
        no_profiles: tuple[str, ...] = ()
        return Stated(
            gpus=found(self.gpus, _indices, none),
            gpu_type=found(self.gpu_type, _name, ""),
            gpu_memory=found(self.gpu_memory, _memory, nothing),
            gpu_count=found(self.gpu_count, _count, nothing),
            host_gpu_count=found(self.host_gpu_count, _count, nothing),
            nvlink=found(self.gpu_topology, _linked, unknown),
            mig_profiles=found(self.mig_config, _profiles, no_profiles),
            problems=tuple(problems),
        )


def _name(text: str) -> str:
    if not text or len(text) > _LONGEST:
        raise ValueError(f"1 to {_LONGEST} characters")
    return text


def _indices(text: str) -> tuple[int, ...]:
    found: set[int] = set()
    for part in text.replace("_", ",").split(","):
        match = _RANGE.fullmatch(part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not first <= last < MAX_GPUS:
            raise ValueError(f"indices of GPUs below {MAX_GPUS}, such as 0-3 or 0_1")
        found.update(range(first, last + 1))
    return tuple(sorted(found))


def _memory(text: str) -> int:
    match = _SIZE.fullmatch(text)
    size = int(match[1]) * _UNITS[match[2] or ""] if match else 0
    if not _SMALLEST_MEMORY <= size <= _LARGEST_MEMORY:
        raise ValueError("the memory of one GPU as a number of MiB or a quantity such as 80Gi")
    return size


def _count(text: str) -> int:
    count = int(text) if text.isascii() and text.isdigit() and len(text) <= 4 else 0
    if not 1 <= count <= MAX_GPUS:
        raise ValueError(f"a number from 1 to {MAX_GPUS}")
    return count


def _linked(text: str) -> bool | None:
    if text == "nvlink-islands":
        return None  # which GPUs are on one island is not said
    if text not in _LINKED:
        raise ValueError(f"one of {', '.join([*_LINKED, 'nvlink-islands'])}")
    return _LINKED[text]


def _profiles(text: str) -> tuple[str, ...]:
    names = [part.strip().replace(".x", ":").partition(":")[0] for part in text.replace("_", ",").split(",")]
    if len(text) > _LONGEST or not all(map(_PROFILE.fullmatch, names)):
        raise ValueError("a list of MIG profiles such as 1g.5gb:7,2g.10gb:3")
    return tuple(dict.fromkeys(names))
