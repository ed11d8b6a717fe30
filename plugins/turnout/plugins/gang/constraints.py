"""What the members of a gang must have in common, and whether two endpoints have it."""

from collections.abc import Iterable, Mapping

from turnout.framework import Endpoint
from turnout.plugins.gang.members import GangShape
from turnout.plugins.gang.search import Key
from turnout.plugins.topology.keys import Reach, Route, Routes, Topology

HOST_LABEL = "kubernetes.io/hostname"
WIDER_LABELS = ("topology.kubernetes.io/rack", "topology.kubernetes.io/zone", "topology.kubernetes.io/region")

SAME_NODE = ""
"""The facet of the host's name; all other facets are labels, which have names."""


class Ties:
    """The constraints of a gang by pairs of members."""

    def __init__(self, shape: GangShape) -> None:
        size = len(shape.members)
        facets = [[dict[str, None]() for _ in range(size)] for _ in range(size)]
        self._bandwidth = [[0.0] * size for _ in range(size)]
        for constraint in shape.constraints:
            roles = shape.roles(constraint)
            asked = [*constraint.same, *([SAME_NODE] if constraint.same_node else [])]
            for one in roles:
                for other in roles:
                    facets[one][other].update(dict.fromkeys(asked))
                    self._bandwidth[one][other] = max(self._bandwidth[one][other], constraint.min_bandwidth)
        self._facets = [[tuple(each) for each in row] for row in facets]
        self._near_facets = [
            [
                tuple({**each, **({SAME_NODE: None} if self._bandwidth[one][other] else {})})
                for other, each in enumerate(row)
            ]
            for one, row in enumerate(facets)
        ]
        self.needs_bandwidth = any(constraint.min_bandwidth for constraint in shape.constraints)
        self.needs_host = any(constraint.same_node for constraint in shape.constraints)

    def facets(self, one: int, other: int) -> tuple[str, ...]:
        """What two endpoints of these members must both have, with one value."""
        return self._facets[one][other]

    def near_facets(self, one: int, other: int) -> tuple[str, ...]:
        """The same with the host, where a bandwidth is asked for."""
        return self._near_facets[one][other]

    def bandwidth(self, one: int, other: int) -> float:
        """The least bytes per second between endpoints of these members."""
        return self._bandwidth[one][other]

    def among(
        self, endpoints: Iterable[Endpoint], topology: Topology | None, *, trusting: bool, near: bool = False
    ) -> "TiedEndpoints":
        """The same for these endpoints, at this moment.

        Without a topology no bandwidth is known: it then counts as enough if ``trusting``, and else as too little. With
        ``near`` endpoints between which a bandwidth is asked for have to be on one host, too.
        """
        by_name = {endpoint.name: endpoint for endpoint in endpoints}
        return TiedEndpoints(self, by_name, topology, trusting=trusting, near=near)


class TiedEndpoints:
    """What endpoints have in common. The ``Relations`` of a search; keeps what it has looked up."""

    def __init__(
        self, ties: Ties, endpoints: Mapping[str, Endpoint], topology: Topology | None, *, trusting: bool, near: bool
    ) -> None:
        self.facets = ties.near_facets if near else ties.facets
        self._bandwidth = ties.bandwidth
        self._endpoints = endpoints
        self._topology = topology
        self._trusting = trusting
        self._keys: dict[tuple[str, tuple[str, ...]], Key | None] = {}
        self._routes: dict[str, Routes] = {}

    def key(self, name: str, facets: tuple[str, ...]) -> Key | None:
        """The endpoint's values of the facets; None if it lacks one, or one is empty."""
        if not facets:
            return ()
        asked = (name, facets)
        if asked not in self._keys:
            values = tuple([self._value(name, facet) for facet in facets])
            self._keys[asked] = values if all(values) else None
        return self._keys[asked]

    def joined(self, one: int, name: str, other: int, other_name: str) -> bool:
        """Whether the way between the two is fast enough, and hosts of one name are one host where that is asked."""
        if SAME_NODE in self.facets(one, other) and not self._on_one_host(name, other_name):
            return False
        wanted = self._bandwidth(one, other)
        if not wanted:
            return True
        if self._topology is None:
            return self._trusting
        route = self._route(self._topology, name, other_name)
        return route is not None and route.bytes_per_second >= wanted

    def _on_one_host(self, name: str, other_name: str) -> bool:
        """Whether hosts of one name are one: in another rack, zone or region they are not."""
        route = None if self._topology is None else self._route(self._topology, name, other_name)
        if route is not None:
            return route.reach <= Reach.NODE
        mine, its = self._endpoints[name].labels, self._endpoints[other_name].labels
        stated = ((mine.get(label), its.get(label)) for label in WIDER_LABELS)
        return all(one == other for one, other in stated if one and other)

    def _route(self, topology: Topology, name: str, other_name: str) -> Route | None:
        routes = self._routes.get(name)
        if routes is None:
            routes = self._routes[name] = topology.routes(name)
        return routes(other_name)

    def _value(self, name: str, facet: str) -> str:
        if facet != SAME_NODE:
            return self._endpoints[name].labels.get(facet, "")
        hardware = None if self._topology is None else self._topology.hardware(name)
        return (hardware.place.host if hardware else "") or self._endpoints[name].labels.get(HOST_LABEL, "")
