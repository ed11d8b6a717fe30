"""Finds the assignment of endpoints to the members of a gang with the largest sum of scores.

Theory of operation. Branch and bound: places are filled one after the other, candidates in the order of their scores.
A branch is left when even the best candidates for all that remains would not make more than what was found. Three
things keep the tree small. Where two members must have something in common that endpoints either have or have not (a
host, a label), the candidates of the second lie on shelves by it, and only the shelf of the first one's choice is
looked at; the bound is that shelf's, too, and an empty one ends the branch. The endpoints of one member are
interchangeable, and are chosen in one order only. The member with the fewest candidates for each of its places comes
first.

What is left are ties between particular pairs, such as bandwidth. For these the tree may be as large as there are
combinations, and the search ends after so many steps with the best that it has found. A step is one candidate that is
looked at.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

from turnout.plugins.gang.members import Gang

Key: TypeAlias = tuple[str, ...]

NOTHING = float("-inf")


class Candidate(NamedTuple):
    """An endpoint by its name, with what it is worth as the member that it is a candidate for."""

    name: str
    score: float


@dataclass(frozen=True, slots=True)
class Role:
    """A member: how many endpoints it takes, at least 1, and those that it can be; each once."""

    count: int
    candidates: Sequence[Candidate]


class Relations(Protocol):
    """What the endpoints of two roles, given by their places, must have in common; the same both ways.

    ``one`` and ``other`` may be the same place: that is about two endpoints of one role.
    """

    def facets(self, one: int, other: int) -> tuple[str, ...]:
        """Names of what both must have, with one value."""
        ...

    def key(self, name: str, facets: tuple[str, ...]) -> Key | None:
        """The endpoint's values of these facets; None if it lacks one."""
        ...

    def joined(self, one: int, name: str, other: int, other_name: str) -> bool:
        """Whether the two get along, given that their facets are the same."""
        ...


@dataclass(frozen=True, slots=True)
class Found:
    """The names by role, each role's best first; None if there is no assignment, or none was found in time.

    ``truncated`` says that the search ended early, so that there may be a better one.
    """

    gang: Gang | None
    score: float
    steps: int
    truncated: bool


def best_gang(roles: Sequence[Role], relations: Relations, max_steps: int) -> Found:
    """The best assignment of different endpoints in which every two are related; equal ones by the names."""
    search = _Search(roles, relations, max_steps)
    distinct = {candidate.name for role in roles for candidate in role.candidates}
    if len(distinct) >= sum(role.count for role in roles):
        search.fill(0, 0.0)
    return search.found()


@dataclass(frozen=True, slots=True)
class _Shelf:
    """Candidates of one role, best first; ``ranks`` are their places among all of the role's."""

    ranks: list[int]

    def after(self, rank: int) -> int:
        """The first position past a rank."""
        return bisect_right(self.ranks, rank)


class _Search:
    def __init__(self, roles: Sequence[Role], relations: Relations, max_steps: int) -> None:
        self._counts = [role.count for role in roles]
        self._relations = relations
        self._left = self._allowed = max_steps
        self._order = sorted(range(len(roles)), key=lambda role: len(roles[role].candidates) / roles[role].count)
        self._places = [(turn, number) for turn, role in enumerate(self._order) for number in range(roles[role].count)]
        self._ranked = [
            sorted(role.candidates, key=lambda candidate: (-candidate.score, candidate.name)) for role in roles
        ]
        self._partners = [self._partner(turn) for turn in range(len(roles))]
        self._shelves: dict[tuple[int, tuple[str, ...]], dict[Key, _Shelf]] = {}
        self._chosen: list[list[int]] = [[] for _ in roles]  # ranks by role
        self._taken: set[str] = set()
        self._best: list[list[int]] | None = None
        self._best_score = NOTHING
        self._truncated = False

    def found(self) -> Found:
        steps = self._allowed - max(0, self._left)
        if self._best is None:
            return Found(None, NOTHING, steps, self._truncated)
        gang = tuple(tuple(self._ranked[role][rank].name for rank in ranks) for role, ranks in enumerate(self._best))
        return Found(gang, self._best_score, steps, self._truncated)

    def fill(self, place: int, score: float) -> None:
        """Fills this place and all after it, in every way that may be better than what was found."""
        if place == len(self._places):
            self._best, self._best_score = [list(ranks) for ranks in self._chosen], score
            return
        turn, number = self._places[place]
        role = self._order[turn]
        shelf = self._shelf(turn, number)
        wanted = self._counts[role] - number
        later = self._bound_after(turn)
        start = shelf.after(self._chosen[role][-1]) if number else 0
        for position in range(start, len(shelf.ranks)):
            # Those that follow are worth no more, so neither is what they lead to.
            if not score + self._sum(role, shelf, position, wanted) + later > self._best_score:
                return
            self._left -= 1
            if self._left < 0:
                self._truncated = True
                return
            self._try(place, role, shelf.ranks[position], score)
            if self._truncated:
                return

    def _try(self, place: int, role: int, rank: int, score: float) -> None:
        candidate = self._ranked[role][rank]
        if candidate.name in self._taken or not self._related(role, candidate.name):
            return
        self._chosen[role].append(rank)
        self._taken.add(candidate.name)
        self.fill(place + 1, score + candidate.score)
        self._taken.discard(candidate.name)
        self._chosen[role].pop()

    def _related(self, role: int, name: str) -> bool:
        """Whether the endpoint gets along with all that were chosen."""
        relations = self._relations
        for other, ranks in enumerate(self._chosen):
            if not ranks:
                continue
            facets = relations.facets(role, other)
            key = relations.key(name, facets)
            for rank in ranks:
                chosen = self._ranked[other][rank].name
                if (
                    key is None
                    or key != relations.key(chosen, facets)
                    or not relations.joined(role, name, other, chosen)
                ):
                    return False
        return True

    # --- bounds ------------------------------------------------------------------------------------------

    def _bound_after(self, turn: int) -> float:
        """At most what the roles after this turn can add to what was chosen."""
        total = 0.0
        for later in range(turn + 1, len(self._order)):
            role = self._order[later]
            total += self._sum(role, self._shelf(later, 0), 0, self._counts[role])
        return total

    def _sum(self, role: int, shelf: _Shelf, position: int, wanted: int) -> float:
        """What so many candidates from this position on are worth; nothing if there are fewer."""
        ranks = shelf.ranks[position : position + wanted]
        if len(ranks) < wanted:
            return NOTHING
        ranked = self._ranked[role]
        return ranked[ranks[0]].score if wanted == 1 else sum(ranked[rank].score for rank in ranks)

    # --- shelves -----------------------------------------------------------------------------------------

    def _partner(self, turn: int) -> int | None:
        """The role of an earlier turn with which the one of this turn must have most in common; None without one."""
        role = self._order[turn]
        earlier = [other for other in self._order[:turn] if self._relations.facets(role, other)]
        return max(earlier, key=lambda other: len(self._relations.facets(role, other)), default=None)

    def _shelf(self, turn: int, number: int) -> _Shelf:
        """Where the candidates for a place are, given what was chosen; everything as long as nothing was."""
        role = self._order[turn]
        partner = self._partners[turn]
        inner = self._relations.facets(role, role)
        if number and (partner is None or len(inner) > len(self._relations.facets(role, partner))):
            partner = role
        facets: tuple[str, ...] = ()
        key: Key | None = ()
        if partner is not None and self._chosen[partner]:
            facets = self._relations.facets(role, partner)
            key = self._relations.key(self._ranked[partner][self._chosen[partner][0]].name, facets)
        return _EMPTY if key is None else self._shelved(role, facets).get(key, _EMPTY)

    def _shelved(self, role: int, facets: tuple[str, ...]) -> dict[Key, _Shelf]:
        found = self._shelves.get((role, facets))
        if found is None:
            found = {} if facets else {(): _Shelf(list(range(len(self._ranked[role]))))}
            self._shelves[role, facets] = found
            for rank, candidate in enumerate(self._ranked[role] if facets else ()):
                key = self._relations.key(candidate.name, facets)
                if key is None:
                    continue
                shelf = found.get(key)
                if shelf is None:
                    shelf = found[key] = _Shelf([])
                shelf.ranks.append(rank)
        return found


_EMPTY = _Shelf([])
