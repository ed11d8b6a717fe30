"""The ways between all endpoints of a pool, worked out when they are first asked for.

Theory of operation. Between hosts the way depends on little: on the places of both and on their widest PCIe links.
Endpoints that are alike in this form a group, and there is one route for each two groups. On one host there is one for
each two endpoints. Both are kept until an endpoint changes, which drops what was known of it and leaves the rest. A
lookup costs a few lookups of dictionaries, whatever the size of the pool.
"""

from typing import TypeAlias

from turnout.plugins.topology.keys import Reach, Route, Routes
from turnout.plugins.topology.network import Network
from turnout.plugins.topology.places import is_known, reach_between
from turnout.plugins.topology.sites import Site
from turnout.plugins.topology.ways import between_hosts

MAX_ROUTES = 250_000
"""Kept on hosts, and between groups; beyond, they are worked out anew. Hosts have few endpoints, pools few groups."""

_Group: TypeAlias = tuple[bool, str, str, str, int | None]


class Distances:
    """Knows sites by the name of the endpoint. ``network`` is what is assumed where nothing was measured."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._sites: dict[str, Site] = {}
        self._groups: dict[str, _Group] = {}
        self._by_host: dict[str, set[str]] = {}
        self._near: dict[str, dict[str, Route | None]] = {}
        self._near_count = 0
        self._far: dict[_Group, dict[_Group, Route | None]] = {}
        self._far_count = 0

    def site(self, name: str) -> Site | None:
        """The site of an endpoint; None if nothing is known."""
        return self._sites.get(name)

    def place(self, name: str, site: Site | None) -> None:
        """From now on the endpoint is there; None: nothing is known of it, or it left."""
        before = self._sites.get(name)
        if before == site:
            return
        if before is not None:
            self._forget(name, before)
        if site is not None:
            place = site.hardware.place
            self._sites[name] = site
            self._groups[name] = (is_known(place), place.rack, place.zone, place.region, site.exit_bytes)
            self._by_host.setdefault(site.host, set()).add(name)
        if len(self._far) > 64 + 2 * len(self._sites) or self._far_count > 1024 + 16 * len(self._sites):
            # Most are of groups of endpoints that left, or soon asked for again.
            self._far, self._far_count = {}, 0

    def routes(self, name: str) -> Routes:
        """The ways from an endpoint. The function is good until a site changes."""
        mine = self._sites.get(name)
        if mine is None:
            return _nowhere
        host, sites, groups = mine.host, self._sites, self._groups
        far = self._far.setdefault(groups[name], {})

        def route(other: str) -> Route | None:
            its = sites.get(other)
            if its is None:
                return None
            if host and its.hardware.place.host == host:
                return self._near_route(name, other)
            its_group = groups[other]
            return far[its_group] if its_group in far else self._far_route(far, mine, its, its_group)

        return route

    # --- inside ------------------------------------------------------------------------------------------

    def _near_route(self, name: str, other: str) -> Route | None:
        row = self._near.get(name)
        if row is None:
            row = self._near[name] = {}
        if other not in row:
            if self._near_count >= MAX_ROUTES:
                row = {}
                self._near, self._near_count = {name: row}, 0
            self._near_count += 1
            row[other] = self._on_hosts_of_one_name(self._sites[name], self._sites[other])
        return row[other]

    def _on_hosts_of_one_name(self, mine: Site, its: Site) -> Route | None:
        reach = reach_between(mine.hardware.place, its.hardware.place)
        if reach is not None and reach > Reach.NODE:
            # In different racks, zones or regions, so these are two.
            return between_hosts(reach, (mine.exit_bytes, its.exit_bytes), self._network)
        return mine.on_one_host(its, self._network)

    def _far_route(self, far: dict[_Group, Route | None], mine: Site, its: Site, its_group: _Group) -> Route | None:
        if self._far_count >= MAX_ROUTES:
            for row in self._far.values():
                row.clear()
            self._far_count = 0
        self._far_count += 1
        reach = reach_between(mine.hardware.place, its.hardware.place)
        exits = (mine.exit_bytes, its.exit_bytes)
        found = far[its_group] = None if reach is None else between_hosts(reach, exits, self._network)
        return found

    def _forget(self, name: str, before: Site) -> None:
        del self._sites[name], self._groups[name]
        self._near_count -= len(self._near.pop(name, ()))
        neighbours = self._by_host[before.host]
        neighbours.discard(name)
        for other in neighbours:
            row = self._near.get(other)
            if row is not None and name in row:
                del row[name]
                self._near_count -= 1
        if not neighbours:
            del self._by_host[before.host]


def _nowhere(_: str) -> Route | None:
    return None
