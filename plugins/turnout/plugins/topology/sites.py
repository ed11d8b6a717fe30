"""What an endpoint runs on: what its labels say, and the document of its machine where there is one.

The machine is measured and labels are written, so the document wins where they differ, and a problem tells.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from turnout.plugins.topology.hardware_labels import Stated
from turnout.plugins.topology.keys import Hardware, Place, Reach, Route
from turnout.plugins.topology.machine import Gpu, Machine
from turnout.plugins.topology.network import Network
from turnout.plugins.topology.structure import gpus_of, slices_of, whole_profile
from turnout.plugins.topology.ways import Ways, assumed, best, worst


@dataclass(frozen=True, slots=True)
class Described:
    """A machine as its document has it, and the ways in it. ``machine`` is a structure: what changes is left out."""

    machine: Machine
    ways: Ways


@dataclass(frozen=True, slots=True)
class Site:
    """Where an endpoint is, as far as ways depend on it.

    ``indices`` are the GPUs that the endpoint may be on; ``certain`` says that it is on all of these. ``exit_bytes`` is
    the widest PCIe link of them, in bytes per second. ``nvlink`` is what labels say of all GPUs of the host.
    """

    hardware: Hardware
    ways: Ways | None = None
    indices: tuple[int, ...] = ()
    certain: bool = False
    exit_bytes: int | None = None
    nvlink: bool | None = None

    @property
    def host(self) -> str:
        """The name of the host; empty if unknown."""
        return self.hardware.place.host

    def on_one_host(self, other: "Site", network: Network) -> Route:
        """The best way to an endpoint on the same host; the worst one where it is not known who has which GPU.

        No other GPU can reach the slices of a GPU, over NVLink or PCIe (NVIDIA Multi-Instance GPU User Guide,
        "Application Considerations").
        """
        p2p = not (self.hardware.mig_profiles or other.hardware.mig_profiles)
        ways = self.ways or other.ways
        pairs = [(a, b) for a in self.indices for b in other.indices]
        if ways is None or not pairs or not all(a in ways.gpus and b in ways.gpus for a, b in pairs):
            nvlink = p2p and bool(self.nvlink and other.nvlink)
            return assumed(Reach.NVLINK if nvlink else Reach.NODE, network)
        routes = ways.routes(pairs, network, p2p=p2p)
        return best(routes) if self.certain and other.certain else worst(routes)


def site_of(place: Place, stated: Stated, described: Described | None) -> tuple[Site | None, Sequence[str]]:
    """The site, None if nothing at all is known, and what is wrong with what is said about it."""
    if described is None:
        return _by_labels(place, stated), stated.problems
    machine = described.machine
    problems = [*stated.problems, *_contradictions(stated, machine)]
    gpus = gpus_of(machine, stated.gpus)
    certain = bool(stated.gpus) and len(gpus) == len(stated.gpus)
    if not certain:
        gpus = machine.gpus
    exits = [gpu.pcie.bytes_per_second for gpu in gpus if gpu.pcie.bytes_per_second is not None]
    at = place if place.host else replace(place, host=machine.node)
    site = Site(
        _measured(at, stated, described.ways, gpus, certain=certain),
        described.ways,
        tuple(gpu.index for gpu in gpus),
        certain,
        max(exits, default=None),
    )
    return site, problems


def _by_labels(place: Place, stated: Stated) -> Site | None:
    hardware = Hardware(
        place,
        stated.gpu_type,
        len(stated.gpus) or stated.gpu_count,
        stated.gpu_memory,
        stated.gpus,
        mig_profiles=stated.mig_profiles,
    )
    if hardware == Hardware(Place()):
        return None
    return Site(hardware, indices=stated.gpus, certain=bool(stated.gpus), nvlink=stated.nvlink)


def _measured(place: Place, stated: Stated, ways: Ways, gpus: Sequence[Gpu], *, certain: bool) -> Hardware:
    profiles = _profiles(stated, gpus)
    sockets = {gpu.socket for gpu in gpus}
    generations = [gpu.pcie.generation for gpu in gpus if gpu.pcie.generation is not None]
    names = {gpu.name for gpu in gpus}
    bandwidth, nvlink = _group(ways, gpus) if certain and not profiles else (None, None)
    return Hardware(
        place,
        next(iter(names)) if len(names) == 1 and "" not in names else stated.gpu_type,
        len(gpus) if certain else stated.gpu_count,
        _memory(gpus, profiles) or stated.gpu_memory,
        tuple(gpu.index for gpu in gpus) if certain else (),
        bandwidth,
        nvlink,
        len(sockets) == 1 if certain and None not in sockets else None,
        min(generations, default=None),
        profiles,
    )


def _group(ways: Ways, gpus: Sequence[Gpu]) -> tuple[float | None, bool | None]:
    """The narrowest way between any two of the GPUs, and whether all ways are NVLink."""
    pairs = [ways.pair(a.index, b.index) for a, b in combinations(gpus, 2)]
    if not pairs:
        return None, None
    rates = [pair.bytes_per_second for pair in pairs if pair is not None and pair.bytes_per_second is not None]
    narrowest = float(min(rates)) if len(rates) == len(pairs) else None
    return narrowest, all(pair is not None and pair.nvlinks > 0 for pair in pairs)


def _profiles(stated: Stated, gpus: Sequence[Gpu]) -> tuple[str, ...]:
    """The slices that the endpoint may be on: of those that there are the stated ones, or all if there are none."""
    there = _profiles_there(gpus)
    if not there and all(gpu.mig_enabled is None for gpu in gpus):
        return stated.mig_profiles
    return tuple(sorted(there.intersection(stated.mig_profiles) or there))


def _profiles_there(gpus: Sequence[Gpu]) -> set[str]:
    return {whole_profile(one.profile) for one in slices_of(gpus, ()) if one.profile}


def _memory(gpus: Sequence[Gpu], profiles: Sequence[str]) -> int | None:
    parts = slices_of(gpus, profiles) if profiles else gpus
    return min((part.memory.total for part in parts if part.memory is not None), default=None)


def _contradictions(stated: Stated, machine: Machine) -> Iterator[str]:
    there = {gpu.index for gpu in machine.gpus}
    missing = [str(index) for index in stated.gpus if index not in there]
    if missing:
        yield f"labels say that it has GPU {', '.join(missing[:8])}, and {machine.node} has {len(there)} GPUs"
        return
    gpus = gpus_of(machine, stated.gpus)
    sliced = _profiles_there(gpus)
    absent = [profile for profile in stated.mig_profiles if profile not in sliced]
    if absent:
        yield f"labels say that it is on a slice {', '.join(absent[:8])}, of which {machine.node} has none"
    count = stated.gpu_count if not stated.mig_profiles else None
    if count is not None and count > len(there):
        yield f"labels say that it has {count} GPUs, and {machine.node} has {len(there)}"
    if count is not None and stated.gpus and count != len(stated.gpus):
        yield f"labels say that it has {count} GPUs, and name {len(stated.gpus)}"
    if stated.host_gpu_count not in (None, len(there)):
        yield f"labels say that {machine.node} has {stated.host_gpu_count} GPUs, and it has {len(there)}"
    names = {"-".join(gpu.name.split()).casefold() for gpu in gpus if gpu.name}
    if stated.gpu_type and names and not any(_is_kind(stated.gpu_type.casefold(), name) for name in names):
        yield f"labels say that its GPUs are {stated.gpu_type}, and {machine.node} has {', '.join(sorted(names))}"


def _is_kind(stated: str, name: str) -> bool:
    # A label may say "h100" of an "nvidia-h100-80gb-hbm3".
    return stated == name or stated in name.split("-")
