"""The best ways between GPUs of one machine, and between machines. Pure.

GPUs do not pass on data for each other: NVLink goes from one GPU to the next, through a switch or not, and everything
else through PCIe. So the best way between two GPUs is the one that the document of their machine gives, and that of two
endpoints is the best of any of their GPUs.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from turnout.plugins.topology.keys import Reach, Route
from turnout.plugins.topology.machine import Gpu, Machine, Pair
from turnout.plugins.topology.network import Network

_ONE_SOCKET = frozenset({"PIX", "PXB", "PHB", "NODE"})


@dataclass(frozen=True, slots=True)
class Ways:
    """The ways between the GPUs of one machine."""

    gpus: Mapping[int, Gpu]
    pairs: Mapping[tuple[int, int], Pair]

    @classmethod
    def of(cls, machine: Machine) -> "Ways":
        """Those of a document."""
        return cls({gpu.index: gpu for gpu in machine.gpus}, {(pair.a, pair.b): pair for pair in machine.pairs})

    def routes(self, pairs: Iterable[tuple[int, int]], network: Network, *, p2p: bool) -> list[Route]:
        """The way between each two GPUs. Without ``p2p`` these cannot reach each other: data goes through the host."""
        return [self._route(a, b, network, p2p=p2p) for a, b in pairs]

    def _fastest(self, network: Network) -> int:
        return max([network.nvlink.bandwidth, *(pair.bytes_per_second or 0 for pair in self.pairs.values())])

    def pair(self, a: int, b: int) -> Pair | None:
        """What the document says of two GPUs."""
        return self.pairs.get((min(a, b), max(a, b)))

    def _route(self, a: int, b: int, network: Network, *, p2p: bool) -> Route:
        one, other, pair = self.gpus[a], self.gpus[b], self.pair(a, b)
        near = pair is not None and pair.level in _ONE_SOCKET
        apart = one.socket is not None and other.socket is not None and one.socket != other.socket
        same_socket = a == b or (one.socket is not None and one.socket == other.socket) or (near and not apart)
        if p2p and a == b:
            # Its own memory is faster than any link.
            return _within(Reach.NVLINK, self._fastest(network), network, same_socket=True)
        if p2p and pair is not None and pair.nvlinks:
            return _within(Reach.NVLINK, pair.bytes_per_second, network, same_socket=same_socket)
        rates = [gpu.pcie.bytes_per_second for gpu in (one, other) if gpu.pcie.bytes_per_second]
        slower = min(rates) if len(rates) == 2 else None
        return _within(Reach.SOCKET if same_socket else Reach.NODE, slower, network, same_socket=same_socket)


def best(routes: Iterable[Route]) -> Route:
    """The best of several ways."""
    return max(routes, key=lambda route: (route.bytes_per_second, -route.reach, route.same_socket))


def worst(routes: Sequence[Route]) -> Route:
    """What holds for whichever of these it is."""
    return Route(
        max(route.reach for route in routes),
        min(route.bytes_per_second for route in routes),
        max(route.latency_seconds for route in routes),
        all(route.same_socket for route in routes),
        measured=True,
    )


def _within(reach: Reach, rate: int | None, network: Network, *, same_socket: bool) -> Route:
    link = network.link(reach)
    bandwidth = float(rate or link.bandwidth)
    if reach is Reach.NODE and network.between_sockets:
        bandwidth = min(bandwidth, float(network.between_sockets))
    return Route(reach, bandwidth, link.latency.total_seconds(), same_socket, measured=True)


def assumed(reach: Reach, network: Network) -> Route:
    """The way between two GPUs of one host of which there is no document."""
    link = network.link(reach)
    return Route(reach, float(link.bandwidth), link.latency.total_seconds())


def between_hosts(reach: Reach, exits: Iterable[int | None], network: Network) -> Route:
    """The way from a GPU of one host to a GPU of another: the network, or the narrower PCIe link at its ends."""
    link = network.link(reach)
    narrowest = min([float(link.bandwidth), *(float(rate) for rate in exits if rate)])
    return Route(reach, narrowest, link.latency.total_seconds())
