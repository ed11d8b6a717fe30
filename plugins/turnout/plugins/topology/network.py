"""How fast ways are that nobody measured: an assumption for each reach, to be replaced by what is known of a site."""

from dataclasses import dataclass
from datetime import timedelta

from turnout.framework import Quantity
from turnout.plugins.topology.keys import Reach

NO_LIMIT = Quantity(0)


@dataclass(frozen=True, slots=True)
class Link:
    """``bandwidth`` in bytes per second each way, above 0, and the time that the first byte takes."""

    bandwidth: Quantity
    latency: timedelta = timedelta(0)

    def __post_init__(self) -> None:
        if self.bandwidth <= 0:
            raise ValueError(f"bandwidth must be above 0, got {self.bandwidth}")
        if self.latency < timedelta(0):
            raise ValueError(f"latency must be at least 0, got {self.latency.total_seconds():g} s")


def _link(gigabytes: float, microseconds: int) -> Link:
    return Link(Quantity(int(gigabytes * 10**9)), timedelta(microseconds=microseconds))


# NVLink of an A100 (12 links of 25 GB/s, nvidia.com on NVLink), PCIe 4.0 with 16 lanes (PCI Express Base
# Specification), then 200, 100, 40 and 10 Gbit/s of network. Latencies are orders of magnitude.
_NVLINK, _SOCKET, _NODE = _link(300, 5), _link(31.5, 10), _link(31.5, 20)
_RACK, _ZONE, _REGION, _APART = _link(25, 20), _link(12.5, 200), _link(5, 2_000), _link(1.25, 50_000)


@dataclass(frozen=True, slots=True)
class Network:
    """What is assumed of the way between endpoints with this in common, where no document says it.

    Between hosts it is the network's part of the way: the PCIe link of the GPUs at either end may be narrower.
    ``between_sockets`` limits what goes from one CPU socket of a host to another without NVLink; 0 does not.
    """

    nvlink: Link = _NVLINK
    socket: Link = _SOCKET
    node: Link = _NODE
    rack: Link = _RACK
    zone: Link = _ZONE
    region: Link = _REGION
    apart: Link = _APART
    between_sockets: Quantity = NO_LIMIT

    def link(self, reach: Reach) -> Link:
        """The assumption for a reach."""
        links = (self.nvlink, self.socket, self.node, self.rack, self.zone, self.region, self.apart)
        return links[reach]


DEFAULT_NETWORK = Network()
