"""Decides together where the requests of one burst go, so that a prompt they share is computed once.

Theory of operation. Block hashes are chained: one hash names a whole prefix. Two prompts are the same if their
last hashes are, and share m blocks if their m-th hashes are, so dictionaries keyed by hashes do the work of a tree
over blocks, at a cost per request instead of per block.

Requests with one prompt and the same replicas to choose from form a group. Groups are placed one after the other,
those of several requests first, then by load. A group takes one replica for each ``max_per_replica`` of its
requests, the least loaded first. With ``min_colocate_blocks`` m above 0 the groups that share m blocks are a
family: a group prefers replicas that its family has been placed on, as long as their load is at most the larger of
the mean over all replicas and the largest load that one group brings to a replica.

So, where all requests may use all replicas, the numbers of requests placed on two replicas differ by at most one
group's part; with families and no ``max_per_replica`` no load exceeds the limit above by more than one group.
"""

import heapq
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

UNLIMITED = -1


@dataclass(frozen=True, slots=True)
class BurstRequest:
    """The block hashes of one prompt, at least one, and the names of the replicas that may serve it, at least one."""

    blocks: Sequence[int]
    replicas: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BurstRules:
    """How requests are put together.

    ``max_per_replica`` bounds the requests of one group on one replica; -1 is no bound. ``min_colocate_blocks`` is
    how many leading blocks different prompts must share to be kept together; 0 keeps only equal prompts together.
    ``by_blocks`` balances the blocks that replicas have to compute instead of the number of requests; a block counts
    once for each replica.
    """

    max_per_replica: int = UNLIMITED
    min_colocate_blocks: int = 0
    by_blocks: bool = False


@dataclass(slots=True)
class _Group:
    """Requests with one prompt. ``family`` is None where nothing is shared with other prompts."""

    blocks: Sequence[int]
    replicas: tuple[str, ...]
    members: list[int] = field(default_factory=list)
    family: "_Family | None" = None


@dataclass(slots=True)
class _Family:
    """Groups that share leading blocks, and the replicas they have been placed on."""

    requests: int = 0
    replicas: dict[str, None] = field(default_factory=dict)


def assign(requests: Sequence[BurstRequest], preference: Iterable[str], rules: BurstRules) -> list[str | None]:
    """The replica of each request, in their order.

    None for a request that shares its prompt with no other, and for the requests of a group beyond what its replicas
    may take; other plugins place them. Among equally loaded replicas the first of ``preference`` is taken.
    """
    groups = _grouped(requests, rules.min_colocate_blocks)
    placed = [group for group in groups if len(group.members) > 1 or group.family is not None]
    loads = _Loads(preference, rules)
    loads.expect(placed)
    chosen: list[str | None] = [None] * len(requests)
    for group in sorted(placed, key=lambda group: (len(group.members) == 1, -loads.whole(group))):
        for replica, members in zip(loads.place(group), _parts(group.members, rules.max_per_replica), strict=False):
            for member in members:
                chosen[member] = replica
    return chosen


def _grouped(requests: Sequence[BurstRequest], min_colocate_blocks: int) -> list[_Group]:
    groups: dict[tuple[int, tuple[str, ...]], _Group] = {}
    for position, request in enumerate(requests):
        key = (request.blocks[-1], request.replicas)
        group = groups.get(key)
        if group is None:
            group = groups[key] = _Group(request.blocks, request.replicas)
        group.members.append(position)
    if min_colocate_blocks:
        _find_families(groups.values(), min_colocate_blocks)
    return list(groups.values())


def _find_families(groups: Iterable[_Group], min_colocate_blocks: int) -> None:
    families: dict[tuple[int, tuple[str, ...]], _Family] = {}
    for group in groups:
        if len(group.blocks) >= min_colocate_blocks:
            key = (group.blocks[min_colocate_blocks - 1], group.replicas)
            group.family = families.setdefault(key, _Family())
            group.family.requests += len(group.members)
    for group in groups:
        if group.family is not None and group.family.requests == 1:
            group.family = None


def _parts(members: Sequence[int], max_per_replica: int) -> list[Sequence[int]]:
    size = len(members) if max_per_replica < 0 else max_per_replica
    return [members[start : start + size] for start in range(0, len(members), size)]


class _Loads:
    """What has been placed on each replica so far."""

    def __init__(self, preference: Iterable[str], rules: BurstRules) -> None:
        self._rules = rules
        self._rank = {name: rank for rank, name in enumerate(preference)}
        self._load = dict.fromkeys(self._rank, 0)
        self._held: dict[str, set[int]] = {}
        # Replicas that requests may choose from, in the order of preference; most requests share one tuple.
        self._ordered: dict[tuple[str, ...], list[str]] = {}
        self._colocation_limit = 0.0

    def expect(self, groups: Sequence[_Group]) -> None:
        """Everything that will be placed; settles up to which load families stay together."""
        for group in groups:
            if group.replicas not in self._ordered:
                for name in group.replicas:
                    self._rank.setdefault(name, len(self._rank))
                    self._load.setdefault(name, 0)
                self._ordered[group.replicas] = sorted(group.replicas, key=self._rank.__getitem__)
        if groups:
            total = sum(self.whole(group) for group in groups)
            largest = max(self.part(group) for group in groups)
            self._colocation_limit = max(total / len(self._load), largest)

    def part(self, group: _Group) -> int:
        """The load that a group brings to one replica."""
        if self._rules.by_blocks:
            return len(group.blocks)
        limit = self._rules.max_per_replica
        return len(group.members) if limit < 0 else min(limit, len(group.members))

    def whole(self, group: _Group) -> int:
        """The load that a group brings to all of its replicas, if they hold nothing of it yet."""
        if not self._rules.by_blocks:
            return len(group.members)
        return len(group.blocks) * len(_parts(group.members, self._rules.max_per_replica))

    def place(self, group: _Group) -> Sequence[str]:
        """One replica for each part of the group, as far as there are replicas."""
        parts = _parts(group.members, self._rules.max_per_replica)
        chosen = self._choose(group, len(parts))
        for replica, members in zip(chosen, parts, strict=False):
            self._load[replica] += self._new_blocks(replica, group) if self._rules.by_blocks else len(members)
        if group.family is not None:
            group.family.replicas.update(dict.fromkeys(chosen))
        return chosen

    def _choose(self, group: _Group, count: int) -> Sequence[str]:
        load, ordered = self._load, self._ordered[group.replicas]
        near: list[str] = []
        if group.family is not None:
            close = [name for name in group.family.replicas if load[name] <= self._colocation_limit]
            near = heapq.nsmallest(count, close, key=load.__getitem__)
        if len(near) == count:
            return near
        others = [name for name in ordered if name not in near] if near else ordered
        return [*near, *heapq.nsmallest(count - len(near), others, key=load.__getitem__)]

    def _new_blocks(self, replica: str, group: _Group) -> int:
        """How many of the group's blocks the replica does not hold yet; it holds them from now on."""
        held, blocks = self._held.setdefault(replica, set()), group.blocks
        # Whole chains are added, so what is held of one is a prefix.
        first = bisect_left(range(len(blocks)), True, key=lambda depth: blocks[depth] not in held)
        held.update(blocks[first:])
        return len(blocks) - first
