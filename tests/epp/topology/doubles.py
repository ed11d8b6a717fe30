"""Machines that do not exist: descriptions, and the NVML library that is compiled from each.

``nvml_double.c`` answers as the real ``libnvidia-ml.so.1`` does, from a header that is generated here. The real
nvidia-ml-py loads it, in a process of its own because a process loads the library once.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import files
from pathlib import Path

SOURCE = Path(__file__).with_name("nvml_double.c")
MIG_SLOTS = 7
GPU_PEER, SWITCH_PEER = 0, 2
ALL = "*"
FOREVER = -1
MIB = 1024 * 1024
NO_INSTANCE = 0xFFFFFFFF


@dataclass(frozen=True)
class Link:
    """``speed`` in MB/s as the driver tells it, 0: it does not. ``version`` as NVML numbers them."""

    peer: str
    version: int
    speed: int = 0
    peer_type: int = GPU_PEER
    active: bool = True


@dataclass(frozen=True)
class Slice:
    """A MIG device."""

    name: str
    uuid: str
    gpu_instance: int
    slices: int
    mib: int
    compute_slices: int = 0
    used_mib: int = 13
    failures: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Card:
    """A GPU. ``failures`` are NVML's codes by function; ALL is every function, FOREVER never returns."""

    name: str
    bus: str
    mib: int
    used_mib: int = 0
    reserved_mib: int = 512
    cpus: tuple[int, int] = (0, 31)
    socket: tuple[int, int] = (0, 31)
    nodes: tuple[int, ...] = (0,)
    pcie_max: int = 4
    pcie_now: int = 1
    width: int = 16
    width_max: int = 16
    own_node: int = -1
    can_mig: bool = False
    slices: tuple[Slice, ...] | None = None
    busy: int = 0
    memory_busy: int = 0
    milliwatts: int = 50_000
    limit: int = 400_000
    celsius: int = 40
    clocks: int = 0
    links: tuple[Link, ...] = ()
    processes: tuple[tuple[int, int, int], ...] = ()
    failures: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Double:
    """A machine. ``levels`` of NVML by row and column; ``without`` are functions that its driver is too old for."""

    cards: tuple[Card, ...]
    levels: Sequence[Sequence[int]]
    driver: str = "580.82.07"
    init_error: int = 0
    count_error: int = 0
    without: tuple[str, ...] = ()


def uuid(index: int) -> str:
    return f"GPU-{index:08x}-0000-0000-0000-000000000000"


def build(double: Double, folder: Path) -> Path:
    """Compiles the library of the machine into the folder, which can then be LD_LIBRARY_PATH."""
    compiler = shutil.which("gcc")
    assert compiler, "gcc is not installed: these tests compile a libnvidia-ml.so.1 (apt-get install gcc libc6-dev)"
    (folder / "machine.h").write_text(_header(double))
    (folder / "exported").write_text("{ global: nvml*; local: " + "".join(f"{n}; " for n in double.without) + "*; };")
    library = folder / "libnvidia-ml.so.1"
    options = ["-O1", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", f"-Wl,-soname,{library.name}"]
    paths = [f"-I{folder}", f"-I{_include_folder()}", f"-Wl,--version-script,{folder / 'exported'}"]
    done = subprocess.run(
        [compiler, *options, *paths, "-o", str(library), str(SOURCE)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder


def _include_folder() -> Path:
    found = [Path(str(file.locate())) for file in files("nvidia-nvml-dev") or () if file.name == "nvml.h"]
    assert found, "nvidia-nvml-dev is not installed: make setup"
    return found[0].parent


def turnout(library: Path | None, *arguments: str, timeout: float = 60) -> "subprocess.CompletedProcess[str]":
    """Runs the command in a process of its own, on the machine whose library lies in the folder."""
    return subprocess.run(
        [sys.executable, "-m", "turnout.epp", *arguments],
        env=environment(library),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def environment(library: Path | None) -> dict[str, str]:
    """For a process on that machine; None is this machine."""
    kept = {name: value for name, value in os.environ.items() if name != "LD_LIBRARY_PATH"}
    return {**kept, "COLUMNS": "80", **({"LD_LIBRARY_PATH": str(library)} if library else {})}


# --- the generated header ----------------------------------------------------------------------------------


def _header(double: Double) -> str:
    cards = double.cards
    levels = "".join(f"{{{', '.join(map(str, row))}}},\n" for row in double.levels) or "{0}"
    migs = "".join(f"{{{_slots(card, index)}}},\n" for index, card in enumerate(cards)) or "{{.index = 0}}"
    return f"""
#define DRIVER_VERSION {_text(double.driver)}
#define INIT_ERROR {double.init_error}
#define COUNT_ERROR {double.count_error}
#define GPU_COUNT {len(cards)}u
#define MIG_SLOTS {MIG_SLOTS}
static struct nvmlDevice_st gpus[] = {{
{"".join(_card(card, index) for index, card in enumerate(cards)) or "{.index = 0}"}}};
static struct nvmlDevice_st migs[][MIG_SLOTS] = {{
{migs}}};
static const int levels[][{max(1, len(cards))}] = {{
{levels}}};
"""


def _card(card: Card, index: int) -> str:
    links = "".join(
        f"{{{int(link.active)}, {link.peer_type}, {link.version}, {link.speed}, {_text(link.peer)}}}, "
        for link in card.links
    )
    processes = "".join(f"{{{pid}, {size}ULL, {instance}u}}, " for pid, size, instance in card.processes)
    return _device(
        {
            "index": index,
            "parent": -1,
            "name": _text(card.name),
            "uuid": _text(uuid(index)),
            "bus": _text(card.bus),
            "total": f"{card.mib * MIB}ULL",
            "used": f"{card.used_mib * MIB}ULL",
            "reserved": f"{card.reserved_mib * MIB}ULL",
            "cpus": _range(card.cpus),
            "socket": _range(card.socket),
            "nodes": sum(1 << node for node in card.nodes),
            "pcie_max": card.pcie_max,
            "pcie_now": card.pcie_now,
            "width_max": card.width_max,
            "width": card.width,
            "own_node": card.own_node,
            "can_mig": int(card.can_mig),
            "mig_mode": int(card.slices is not None),
            "busy": f"{card.busy}u",
            "memory_busy": card.memory_busy,
            "milliwatts": card.milliwatts,
            "limit": card.limit,
            "celsius": card.celsius,
            "clocks": card.clocks,
            "link_count": len(card.links),
            "links": f"{{{links or '{0}'}}}",
            "process_count": len(card.processes),
            "processes": f"{{{processes or '{0}'}}}",
            **_failures(card.failures),
        }
    )


def _slots(card: Card, parent: int) -> str:
    return (
        "".join(
            _device(
                {
                    "index": index,
                    "parent": parent,
                    "name": _text(one.name),
                    "uuid": _text(one.uuid),
                    "total": f"{one.mib * MIB}ULL",
                    "used": f"{one.used_mib * MIB}ULL",
                    "gpu_instance": one.gpu_instance,
                    "slices": one.slices,
                    "compute_slices": one.compute_slices or one.slices,
                    "mig_mib": one.mib,
                    **_failures(one.failures),
                }
            )
            for index, one in enumerate(card.slices or ())
        )
        or "{.index = 0}"
    )


def _failures(failures: Mapping[str, int]) -> dict[str, object]:
    listed = "".join(f"{{{_text(function)}, {code}}}, " for function, code in failures.items())
    return {"failure_count": len(failures), "failures": f"{{{listed or '{0}'}}}"}


def _device(fields: Mapping[str, object]) -> str:
    return "{" + ", ".join(f".{name} = {value}" for name, value in fields.items()) + "},\n"


def _range(bounds: tuple[int, int]) -> str:
    mask = sum(1 << bit for bit in range(bounds[0], bounds[1] + 1))
    return f"{{{mask & (2**64 - 1)}ULL, {mask >> 64}ULL}}"


def _text(text: str) -> str:
    return json.dumps(text)
