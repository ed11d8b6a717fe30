"""Whether a gang can be formed of some endpoints: now, at a time when nobody else is there, or never.

Asked at every look of flow control, so answers are kept: for a second at most, since topologies change, and not beyond
a change of the pool. What is free now is searched again only after something was taken or given back, and only if the
gang that was found before is not free any more.

A search that ends early and finds nothing counts as "not now, perhaps later": such a request waits until its time to
live is over, and is not refused for what the search did not come to. The next search is a while later, so that such
searches do not take all the time that there is. It is bandwidth that makes searches long, and what is fast is mostly on
one host: so hosts are searched one by one first, which is quicker and is put off for less.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import NamedTuple, TypeAlias

from turnout.framework import Endpoint
from turnout.plugins.gang.books import Books
from turnout.plugins.gang.constraints import Ties
from turnout.plugins.gang.members import Gang, GangShape, Sizes
from turnout.plugins.gang.search import Candidate, Found, Role, best_gang
from turnout.plugins.topology.keys import Topology

KEPT_SECONDS = 1.0
PAUSE_SECONDS = 2.0
"""After a search that ended early without a gang, before the next."""

HOSTS_PAUSE_SECONDS = 0.5
"""After one of single hosts without a gang, where the other is not due, before the next."""

MAX_KEPT = 64
"""Sets of endpoints, one for each lane and size of gang that is asked about at the time."""

_Key: TypeAlias = tuple[Sizes, bool, tuple[str, ...]]


class Outlook(NamedTuple):
    """``gang`` could be let go at once; without one ``possible`` tells whether any could at another time."""

    gang: Gang | None
    possible: bool


@dataclass(slots=True)
class _Kept:
    """What is known ``until`` a time; of what is free, as of this version of the books.

    No search before ``hosts_at``, and none that may be long before ``again_at``.
    """

    until: float
    again_at: float = 0.0
    hosts_at: float = 0.0
    version: int = -1
    gang: Gang | None = None
    possible: bool | None = None


class Outlooks:
    """Answers for one shape of gangs. Times are in seconds on the clock of ``CycleState.now``."""

    def __init__(self, shape: GangShape, ties: Ties, books: Books, max_steps: int) -> None:
        self.truncated = 0
        """Searches that ended early, since the start."""
        self._shape = shape
        self._ties = ties
        self._books = books
        self._max_steps = max_steps
        self._kept: dict[_Key, _Kept] = {}

    def of(self, sizes: Sizes, endpoints: Sequence[Endpoint], topology: Topology | None, now: float) -> Outlook:
        """What there is for a gang of this size among the endpoints."""
        kept = self._of(sizes, endpoints, topology, now)
        if kept.version != self._books.version and not self._is_free(kept.gang):
            kept.gang = None
            if now < kept.hosts_at:
                return Outlook(None, self._possible(kept, sizes, endpoints, topology))
            free = [endpoint for endpoint in endpoints if self._books.has_room(endpoint.name)]
            kept.gang = self._found(kept, sizes, free, topology, now)
        kept.version = self._books.version
        return Outlook(kept.gang, kept.gang is not None or self._possible(kept, sizes, endpoints, topology))

    def possible(self, sizes: Sizes, endpoints: Sequence[Endpoint], topology: Topology | None, now: float) -> bool:
        """Whether a gang could be formed if nobody else was there."""
        return self._possible(self._of(sizes, endpoints, topology, now), sizes, endpoints, topology)

    def forget(self) -> None:
        """The pool has changed."""
        self._kept.clear()

    def best(
        self, roles: Sequence[Role], endpoints: Sequence[Endpoint], topology: Topology | None, held: Gang = ()
    ) -> Found:
        """The best gang of these candidates, all constraints being met; without a topology no bandwidth is enough.

        A search that ended early is followed by two short ones, on single hosts and of the gang that is ``held`` for
        the request: what was found for it before its turn is found again.
        """
        found = self._everywhere(roles, endpoints, topology, trusting=False)
        if not found.truncated:
            return found
        options = [found]
        if self._ties.needs_bandwidth:
            near = self._ties.among(endpoints, topology, trusting=False, near=True)
            options.append(best_gang(roles, near, self._max_steps))
        if held:
            own = [
                Role(role.count, [candidate for candidate in role.candidates if candidate.name in names])
                for role, names in zip(roles, held, strict=True)
            ]
            ties = self._ties.among(endpoints, topology, trusting=False)
            options.append(best_gang(own, ties, self._max_steps))
        return replace(max(options, key=lambda each: each.score), truncated=True)

    def _found(
        self, kept: _Kept, sizes: Sizes, free: Sequence[Endpoint], topology: Topology | None, now: float
    ) -> Gang | None:
        found = self._search(sizes, free, topology, thorough=now >= kept.again_at)
        if found.truncated and found.gang is None:
            # Perhaps there is one, so that nobody needs to search whether there ever could be.
            kept.possible = True
            if now >= kept.again_at:
                kept.again_at = kept.until = now + PAUSE_SECONDS
            kept.hosts_at = now + (HOSTS_PAUSE_SECONDS if self._ties.needs_bandwidth else PAUSE_SECONDS)
        return found.gang

    def _is_free(self, gang: Gang | None) -> bool:
        return gang is not None and all(map(self._books.has_room, chain.from_iterable(gang)))

    def _of(self, sizes: Sizes, endpoints: Sequence[Endpoint], topology: Topology | None, now: float) -> _Kept:
        key = (sizes, topology is None, tuple([endpoint.name for endpoint in endpoints]))
        kept = self._kept.get(key)
        if kept is None or now >= kept.until:
            if len(self._kept) >= MAX_KEPT:
                self._kept.clear()
            kept = self._kept[key] = _Kept(now + KEPT_SECONDS)
        return kept

    def _possible(self, kept: _Kept, sizes: Sizes, endpoints: Sequence[Endpoint], topology: Topology | None) -> bool:
        if kept.possible is None:
            found = self._search(sizes, endpoints, topology)
            kept.possible = found.gang is not None or found.truncated
        return kept.possible

    def _search(
        self, sizes: Sizes, endpoints: Sequence[Endpoint], topology: Topology | None, *, thorough: bool = True
    ) -> Found:
        """Any gang of these endpoints. What is not ``thorough`` looks at single hosts only, where it is bandwidth."""
        roles = [
            Role(size, [Candidate(endpoint.name, 0.0) for endpoint in endpoints if member.matches(endpoint)])
            for member, size in zip(self._shape.members, sizes, strict=True)
        ]
        if self._ties.needs_bandwidth:
            near = self._ties.among(endpoints, topology, trusting=True, near=True)
            found = best_gang(roles, near, self._max_steps)
            if found.gang is not None:
                return found
            if not thorough:
                return replace(found, truncated=True)
        return self._everywhere(roles, endpoints, topology, trusting=True)

    def _everywhere(
        self, roles: Sequence[Role], endpoints: Sequence[Endpoint], topology: Topology | None, *, trusting: bool
    ) -> Found:
        ties = self._ties.among(endpoints, topology, trusting=trusting)
        found = best_gang(roles, ties, self._max_steps)
        self.truncated += found.truncated
        return found
