"""A machine with two islands: GPUs 0 and 1 have NVLink, and 2 and 3; the islands are on two sockets."""

from collections.abc import Mapping

import msgspec

from epp.topology.gpus import gpu, link
from turnout.epp.topology.assembly import Read, assembled
from turnout.plugins.topology.document import encoded
from turnout.plugins.topology.hardware_labels import HardwareLabels
from turnout.plugins.topology.keys import Place
from turnout.plugins.topology.machine import Gpu, Level, Machine, MigInstance, Power
from turnout.plugins.topology.machine_documents import read_machine
from turnout.plugins.topology.sites import Described, Site, site_of

GB = 10**9


def islands(node: str = "worker-7", *, linked: bool = True, **changes: object) -> Machine:
    """NVLink of 4 x 25 GB/s in an island if it is ``linked``, PCIe of 32 GB/s; ``changes`` are to GPU 0."""
    gpus = [gpu(index, *(link(number, index ^ 1) for number in range(4 * linked))) for index in range(4)]
    gpus[0] = msgspec.structs.replace(gpus[0], **changes)
    levels: dict[tuple[int, int], Level] = {
        (a, b): "PIX" if a // 2 == b // 2 else "SYS" for a in range(4) for b in range(4) if a != b
    }
    cpus = {index: (0, 1) if index < 2 else (2, 3) for index in range(4)}
    return assembled(Read(node, "", gpus, levels, cpus))


def busy(machine: Machine, *shares: float) -> Machine:
    """Its GPUs compute so much of the time, and draw so much of 700 W."""
    gpus = [
        msgspec.structs.replace(one, utilization=share, power=Power(watts=700 * share, limit_watts=700.0))
        for one, share in zip(machine.gpus, shares, strict=True)
    ]
    return msgspec.structs.replace(machine, gpus=tuple(gpus))


def sliced(machine: Machine, *profiles: str) -> Machine:
    """Its GPU 0 is sliced so."""
    first: Gpu = machine.gpus[0]
    instances = tuple(MigInstance(index=index, profile=profile) for index, profile in enumerate(profiles))
    first = msgspec.structs.replace(first, mig_enabled=True, mig_instances=instances)
    return msgspec.structs.replace(machine, gpus=(first, *machine.gpus[1:]))


def described(machine: Machine) -> Described:
    """The machine as its document is read."""
    return read_machine(encoded(machine)).described


def site(machine: Machine | None, labels: Mapping[str, str], place: Place = Place("worker-7")) -> Site:  # noqa: B008
    """The site of an endpoint with these labels."""
    found, _ = site_of(place, HardwareLabels().read(labels), None if machine is None else described(machine))
    assert found is not None
    return found
