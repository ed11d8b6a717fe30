"""The pool of the scenario: four machines, on each two pairs of GPUs with an NVLink bridge between the two.

On each pair one endpoint prefills and one decodes. Between pairs of one machine there is PCIe, between machines a
network. The picker learns it from documents and labels, as `turnout topology` writes them; the simulated servers are
told the same, and let KV cache take its time accordingly.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from turnout.epp.simulator.kv_links import KvLink, KvLinks
from turnout.epp.topology.assembly import Read, assembled
from turnout.plugins.topology.document import encoded
from turnout.plugins.topology.machine import Gpu, Level, Memory, NvLink, Pcie

MACHINES = 4
GPUS = 4
NVLINKS = 12
ZONE = "zone-a"

Way = Literal["NVLink", "same node", "network"]
Role = Literal["prefill", "decode"]

LINKS: Mapping[Way, KvLink] = MappingProxyType(
    {
        "NVLink": KvLink(NVLINKS * 25e9, 5e-6),
        "same node": KvLink(63e9, 20e-6),
        "network": KvLink(12.5e9, 200e-6),
    }
)
"""An NVLink bridge of an H100 NVL (NVIDIA data sheet: 600 GB/s both ways together), PCIe 5.0 with 16 lanes, and a
network of 100 Gbit/s; latencies are those that `topology-producer` assumes."""


@dataclass(frozen=True, slots=True)
class Seat:
    """Where a server of the pool is: a GPU of a machine."""

    machine: int
    gpu: int

    @property
    def role(self) -> Role:
        """One GPU of each pair prefills, the other one decodes."""
        return "decode" if self.gpu % 2 else "prefill"

    @property
    def node(self) -> str:
        """The name of the machine."""
        return f"machine-{self.machine}"

    @property
    def labels(self) -> Mapping[str, str]:
        """What the picker is told about the endpoint."""
        return {
            "llm-d.ai/role": self.role,
            "kubernetes.io/hostname": self.node,
            "topology.kubernetes.io/zone": ZONE,
            "turnout/gpus": str(self.gpu),
        }

    def way_to(self, other: "Seat") -> Way:
        """What lies between this GPU and another."""
        if self.machine != other.machine:
            return "network"
        return "NVLink" if self.gpu // 2 == other.gpu // 2 else "same node"


POOL: Sequence[Seat] = tuple(Seat(machine, gpu) for machine in range(MACHINES) for gpu in range(GPUS))


def documents() -> bytes:
    """The topology documents of all machines, one on each line."""
    return b"".join(_document(machine) + b"\n" for machine in range(MACHINES))


def _document(machine: int) -> bytes:
    levels: dict[tuple[int, int], Level] = {
        (a, b): "NODE" if a // 2 == b // 2 else "SYS" for a in range(GPUS) for b in range(GPUS) if a != b
    }
    cpus = {gpu: (gpu // 2,) for gpu in range(GPUS)}
    return encoded(
        assembled(
            Read(Seat(machine, 0).node, "2026-01-01T00:00:00+00:00", [_gpu(gpu) for gpu in range(GPUS)], levels, cpus)
        )
    )


def _gpu(index: int) -> Gpu:
    memory = 94 * 2**30
    return Gpu(
        index=index,
        name="NVIDIA H100 NVL",
        memory=Memory(total=memory, used=memory, free=0),
        pcie=Pcie(generation=5, width=16, bytes_per_second=int(LINKS["same node"].bytes_per_second)),
        nvlinks=tuple(
            NvLink(link=number, active=True, peer="gpu", peer_gpu=index ^ 1, bytes_per_second=25 * 10**9)
            for number in range(NVLINKS)
        ),
    )


def links_to(receiver: Seat, addresses: Mapping[str, Seat]) -> KvLinks:
    """How fast KV cache comes to a server from those at these addresses, `host:port`."""
    return KvLinks(
        default=LINKS["network"],
        peers={address: LINKS[receiver.way_to(seat)] for address, seat in addresses.items() if seat != receiver},
    )
