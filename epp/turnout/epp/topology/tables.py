"""A machine as a person reads it in a terminal; readers of ``nvidia-smi topo -m`` know the first table."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby

from rich.console import Group, RenderableType
from rich.text import Text

from turnout.epp.observe.labels import printable
from turnout.epp.text_table import aligned
from turnout.epp.topology.assembly import UNKNOWN
from turnout.plugins.topology.machine import Gap, Gpu, Machine, Memory, NvLink

_GIB = 1024**3
_GIGA = 10**9
_NONE = "-"

LEGEND = (
    ("NV#", "so many NVLinks, with or without a switch between"),
    ("PIX", "one PCIe switch at most"),
    ("PXB", "several PCIe switches, no host bridge"),
    ("PHB", "a PCIe host bridge (the CPU)"),
    ("NODE", "several host bridges of one NUMA node"),
    ("SYS", "from one NUMA node to another"),
    (UNKNOWN, "unknown"),
)


def render_machine(machine: Machine) -> RenderableType:
    """Tables of the ways between GPUs, of the GPUs, of MIG instances and processes if any, and what is missing."""
    # Text and not markup: names may contain brackets.
    driver = f"NVIDIA driver {machine.driver_version or 'of unknown version'}"
    parts: list[RenderableType] = [Text(printable(f"{machine.node}: {_counted(machine)}, {driver}"), style="bold")]
    parts += _titled("", _matrix_head(machine), _matrix(machine), ("", "CPUs", "NUMA nodes"))
    parts += [Text(line, style="dim") for line in _legend(machine)]
    parts += _titled("GPUs", _GPU_HEAD, map(_gpu, machine.gpus), ("name", "NVLinks", "PCIe", "state"))
    parts += _titled("MIG instances", _MIG_HEAD, _mig(machine), ("profile", "UUID"))
    parts += _titled("Processes", _PROCESS_HEAD, _processes(machine), ())
    if machine.gaps:
        parts += [Text("\nMissing", style="bold yellow"), *(Text(f"  {line}") for line in _gaps(machine.gaps))]
    return Group(*parts)


def _counted(machine: Machine) -> str:
    names = {gpu.name for gpu in machine.gpus if gpu.name}
    kind = next(iter(names)) if len(names) == 1 else "GPUs" if len(machine.gpus) > 1 else "GPU"
    return f"{len(machine.gpus)} x {kind}"


def _titled(
    title: str, head: Sequence[str], rows: Iterable[Sequence[str]], words: Sequence[str]
) -> Iterator[RenderableType]:
    listed = list(rows)
    if listed:
        yield Text(f"\n{title}" if title else "", style="bold")
        yield from aligned(head, listed, words)


# --- ways --------------------------------------------------------------------------------------------------


def _matrix_head(machine: Machine) -> Sequence[str]:
    return ["", *(f"GPU{gpu.index}" for gpu in machine.gpus), "CPUs", "NUMA nodes"]


def _matrix(machine: Machine) -> Iterator[Sequence[str]]:
    ways = {(pair.a, pair.b): pair.link for pair in machine.pairs}
    for row in machine.gpus:
        ends = [(min(row.index, column.index), max(row.index, column.index)) for column in machine.gpus]
        cells = ["X" if a == b else ways.get((a, b), UNKNOWN) for a, b in ends]
        yield [f"GPU{row.index}", *cells, _ranges(row.cpus), _ranges(row.numa_nodes)]


def _legend(machine: Machine) -> Iterator[str]:
    used = {"NV#" if pair.nvlinks else pair.link for pair in machine.pairs}
    return (f"  {sign.rjust(4)}  {meaning}" for sign, meaning in LEGEND if sign in used)


def _ranges(numbers: Sequence[int]) -> str:
    """As Linux writes sets of CPUs: 0-15,32-47."""
    found = []
    for _, run in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        members = [number for _, number in run]
        found.append(str(members[0]) if len(members) == 1 else f"{members[0]}-{members[-1]}")
    return ",".join(found) or _NONE


# --- GPUs --------------------------------------------------------------------------------------------------

_GPU_HEAD = ("GPU", "name", "memory used", "busy", "power", "temp", "PCIe", "NVLinks", "socket", "state")


def _gpu(gpu: Gpu) -> Sequence[str]:
    return (
        str(gpu.index),
        printable(gpu.name) or _NONE,
        _memory(gpu.memory),
        _shown(gpu.utilization, lambda share: f"{share:.0%}"),
        _power(gpu),
        _shown(gpu.temperature_celsius, lambda degrees: f"{degrees:.0f} C"),
        _pcie(gpu),
        _nvlinks(gpu.nvlinks),
        _shown(gpu.socket, "{:.0f}".format),
        _state(gpu),
    )


def _shown(value: float | None, form: Callable[[float], str]) -> str:
    return _NONE if value is None else form(value)


def _memory(memory: Memory | None) -> str:
    return _NONE if memory is None else f"{memory.used / _GIB:.1f} / {memory.total / _GIB:.1f} GiB"


def _power(gpu: Gpu) -> str:
    drawn, limit = (_shown(watts, "{:.0f}".format) for watts in (gpu.power.watts, gpu.power.limit_watts))
    return _NONE if drawn == limit == _NONE else f"{drawn} / {limit} W"


def _pcie(gpu: Gpu) -> str:
    pcie = gpu.pcie
    if pcie.generation is None or pcie.width is None:
        return _NONE
    lanes = f"{pcie.generation} x{pcie.width}"
    return lanes if pcie.max_width in (None, pcie.width) else f"{lanes} (of x{pcie.max_width})"


def _nvlinks(links: Sequence[NvLink]) -> str:
    active = [link for link in links if link.active]
    if not links:
        return _NONE
    down = f", {len(links) - len(active)} down" if len(active) < len(links) else ""
    if not active:
        return f"0{down}"
    first = active[0]
    rate = f" x {first.bytes_per_second / _GIGA:.1f} GB/s" if first.bytes_per_second else ""
    return f"{len(active)}{rate}{f' ({first.version})' if first.version else ''}{down}"


def _state(gpu: Gpu) -> str:
    words = ["LOST"] if gpu.lost else []
    words += ["MIG"] if gpu.mig_enabled else []
    words += [f"slow: {' '.join(gpu.throttled)}"] if gpu.throttled else []
    return ", ".join(words) or "ok"


# --- what runs on them -------------------------------------------------------------------------------------

_MIG_HEAD = ("GPU", "instance", "profile", "memory used", "GI", "CI", "UUID")
_PROCESS_HEAD = ("GPU", "GI", "PID", "memory")


def _mig(machine: Machine) -> Iterator[Sequence[str]]:
    for gpu in machine.gpus:
        for one in gpu.mig_instances:
            yield (
                str(gpu.index),
                str(one.index),
                printable(one.profile) or _NONE,
                _memory(one.memory),
                _shown(one.gpu_instance, "{:.0f}".format),
                _shown(one.compute_instance, "{:.0f}".format),
                printable(one.uuid),
            )


def _processes(machine: Machine) -> Iterator[Sequence[str]]:
    for gpu in machine.gpus:
        for process in gpu.processes:
            used = _shown(process.memory_bytes, lambda size: f"{size / _GIB:.1f} GiB")
            yield str(gpu.index), _shown(process.gpu_instance, "{:.0f}".format), str(process.pid), used


def _gaps(gaps: Sequence[Gap]) -> Iterator[str]:
    """One line for all GPUs that lack the same for the same reason."""
    lacking: dict[tuple[str, str], list[int]] = {}
    for gap in gaps:
        lacking.setdefault((gap.what, gap.why), []).extend([] if gap.gpu is None else [gap.gpu])
    for (what, why), gpus in lacking.items():
        where = f"GPU {_ranges(sorted(gpus))}: " if gpus else ""
        yield f"{where}{printable(what)}: {printable(why)}"
