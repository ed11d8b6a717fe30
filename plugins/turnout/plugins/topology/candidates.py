"""What is known of each candidate, in their order."""

import math
from collections.abc import Sequence

from turnout.framework import Endpoint
from turnout.plugins.topology.keys import Hardware, Reach, Route, Topology

HERE = Route(Reach.NVLINK, math.inf, 0.0, same_socket=True, measured=True)
"""From an endpoint to itself, where nothing has to be moved."""


def routes_to(peer: Endpoint, topology: Topology | None, endpoints: Sequence[Endpoint]) -> list[Route | None]:
    """The way between the peer and each of the endpoints; None where nothing is known."""
    peer_name = peer.name
    if topology is None:
        return [HERE if endpoint.name == peer_name else None for endpoint in endpoints]
    way = topology.routes(peer_name)
    return [HERE if (name := endpoint.name) == peer_name else way(name) for endpoint in endpoints]


def hardware_of(topology: Topology | None, endpoints: Sequence[Endpoint]) -> list[Hardware | None]:
    """What each of the endpoints runs on; None where nothing is known."""
    if topology is None:
        return [None] * len(endpoints)
    known = topology.hardware
    return [known(endpoint.name) for endpoint in endpoints]
