"""Makes the document of a machine out of what was read of each GPU and of each two of them. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import msgspec

from turnout.plugins.topology.machine import LEVELS, MAX_GAPS, MAX_TEXT, Gap, Gpu, Level, Machine, NvLink, Pair, Socket

UNKNOWN = "?"


@dataclass(frozen=True)
class Read:
    """What a driver said. ``levels`` are by index of two GPUs, as asked both ways; ``socket_cpus`` by index of one."""

    node: str
    read_at: str
    gpus: Sequence[Gpu]
    levels: Mapping[tuple[int, int], Level] = field(default_factory=dict)
    socket_cpus: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    gaps: Sequence[Gap] = ()
    driver_version: str = ""
    nvml_version: str = ""


def assembled(read: Read) -> Machine:
    """The document. Where the two ends of a pair say different things, the worse holds, and a gap tells."""
    gaps = list(read.gaps)
    sockets = _sockets(read.socket_cpus)
    gpus = tuple(_on_its_socket(gpu, sockets, read.socket_cpus) for gpu in read.gpus)
    pairs = tuple(_pair(a, b, read.levels, gaps) for a, b in combinations(gpus, 2))
    return Machine(
        node=read.node[:MAX_TEXT],
        read_at=read.read_at,
        driver_version=read.driver_version,
        nvml_version=read.nvml_version,
        gpus=gpus,
        sockets=sockets,
        pairs=pairs,
        gaps=_bounded(gaps),
    )


def _bounded(gaps: Sequence[Gap]) -> tuple[Gap, ...]:
    if len(gaps) <= MAX_GAPS:
        return tuple(gaps)
    rest = Gap(gpu=None, what="further gaps", why=f"{len(gaps) - MAX_GAPS + 1} are left out")
    return (*gaps[: MAX_GAPS - 1], rest)


def _sockets(socket_cpus: Mapping[int, tuple[int, ...]]) -> tuple[Socket, ...]:
    known = sorted({cpus for cpus in socket_cpus.values() if cpus})
    return tuple(Socket(index=index, cpus=cpus) for index, cpus in enumerate(known))


def _on_its_socket(gpu: Gpu, sockets: Sequence[Socket], socket_cpus: Mapping[int, tuple[int, ...]]) -> Gpu:
    cpus = socket_cpus.get(gpu.index)
    found = next((socket.index for socket in sockets if socket.cpus == cpus), None)
    return msgspec.structs.replace(gpu, socket=found)


def _pair(a: Gpu, b: Gpu, levels: Mapping[tuple[int, int], Level], gaps: list[Gap]) -> Pair:
    level = _agreed_level(a, b, levels, gaps)
    links = _links_between(a, b, gaps)
    if links:
        rates = [link.bytes_per_second for link in links]
        return Pair(
            a=a.index,
            b=b.index,
            link=f"NV{len(links)}",
            level=level,
            nvlinks=len(links),
            switched=links[0].peer == "switch",
            bytes_per_second=None if None in rates else sum(rate or 0 for rate in rates),
        )
    reachable = level is not None and not (a.lost or b.lost)
    return Pair(
        a=a.index,
        b=b.index,
        link=level if reachable and level else UNKNOWN,
        level=level,
        bytes_per_second=_slower_pcie(a, b) if reachable else None,
    )


def _slower_pcie(a: Gpu, b: Gpu) -> int | None:
    one, other = a.pcie.bytes_per_second, b.pcie.bytes_per_second
    return None if one is None or other is None else min(one, other)


def _agreed_level(a: Gpu, b: Gpu, levels: Mapping[tuple[int, int], Level], gaps: list[Gap]) -> Level | None:
    said = [level for pair in ((a.index, b.index), (b.index, a.index)) if (level := levels.get(pair))]
    if not said:
        return None
    worse = max(said, key=LEVELS.index)
    if set(said) != {worse}:
        gaps.append(_contradiction(a, b, f"{said[0]} and {said[1]}, taken as {worse}"))
    return worse


def _links_between(a: Gpu, b: Gpu, gaps: list[Gap]) -> Sequence[NvLink]:
    """The links of the end that has fewer, or is slower: those that both can use."""
    if a.lost or b.lost:
        return ()
    ends = [tuple(_links_to(a, b)), tuple(_links_to(b, a))]
    fewer = min(ends, key=lambda links: (len(links), sum(link.bytes_per_second or 0 for link in links)))
    if len(ends[0]) != len(ends[1]) and _direct(ends[0] or ends[1]):
        gaps.append(_contradiction(a, b, f"{len(ends[0])} and {len(ends[1])} NVLinks, taken as {len(fewer)}"))
    return fewer


def _direct(links: Sequence[NvLink]) -> bool:
    # Through a switch one GPU may well have more links than the other: some may be down.
    return any(link.peer == "gpu" for link in links)


def _links_to(gpu: Gpu, peer: Gpu) -> Iterator[NvLink]:
    active = [link for link in gpu.nvlinks if link.active]
    direct = [link for link in active if link.peer_gpu == peer.index]
    if direct:
        return iter(direct)
    switched = any(link.active and link.peer == "switch" for link in peer.nvlinks)
    return (link for link in active if switched and link.peer == "switch")


def _contradiction(a: Gpu, b: Gpu, what: str) -> Gap:
    return Gap(gpu=None, what=f"GPU {a.index} to GPU {b.index}", why=f"the two ends say {what}")
