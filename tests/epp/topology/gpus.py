"""Small machines as they are read, for what needs no driver."""

from collections.abc import Sequence

from turnout.epp.topology.assembly import Read, assembled
from turnout.plugins.topology.machine import Gpu, Level, Machine, Memory, NvLink, Pcie

MIB = 1024 * 1024
A100 = "NVIDIA A100 80GB PCIe"


def link(number: int, peer_gpu: int | None = None, *, active: bool = True, rate: int | None = 25) -> NvLink:
    """To that GPU, or to a switch. ``rate`` in GB/s."""
    return NvLink(
        link=number,
        active=active,
        peer="switch" if peer_gpu is None else "gpu",
        peer_gpu=peer_gpu,
        bytes_per_second=None if rate is None else rate * 10**9,
    )


def gpu(index: int, *links: NvLink, name: str = A100, mib: int = 81920, lost: bool = False, pcie: int = 32) -> Gpu:
    """``pcie`` in GB/s."""
    memory = Memory(total=mib * MIB, used=0, free=mib * MIB)
    bandwidth = Pcie(generation=4, width=16, bytes_per_second=pcie * 10**9)
    return Gpu(index=index, name=name, memory=memory, lost=lost, nvlinks=links, pcie=bandwidth)


def machine(*gpus: Gpu, level: Level = "SYS") -> Machine:
    """Any two of the GPUs have this level."""
    ways: dict[tuple[int, int], Level] = {(a.index, b.index): level for a in gpus for b in gpus if a is not b}
    return assembled(Read("worker-7", "2026-01-01T00:00:00+00:00", gpus, ways))


def pair_of(gpus: Sequence[Gpu], levels: dict[tuple[int, int], Level]) -> tuple[str, int, int | None, list[str]]:
    """The way between the first two: link, NVLinks, bytes per second, and what is contradictory."""
    found = assembled(Read("n", "t", gpus, levels))
    return (
        found.pairs[0].link,
        found.pairs[0].nvlinks,
        found.pairs[0].bytes_per_second,
        [gap.why for gap in found.gaps],
    )
