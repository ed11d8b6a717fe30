from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from turnout.plugins.gang.search import Candidate, Found, Key, Role, best_gang

MANY = 1_000_000


@dataclass
class Stated:
    """Relations as a test states them: facets by pairs of roles, their values by endpoint, and pairs that are apart."""

    facets_of: Mapping[tuple[int, int], tuple[str, ...]] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    apart: frozenset[frozenset[str]] = frozenset()

    def facets(self, one: int, other: int) -> tuple[str, ...]:
        return self.facets_of.get((min(one, other), max(one, other)), ())

    def key(self, name: str, facets: tuple[str, ...]) -> Key | None:
        found = [self.values.get(name, {}).get(facet) for facet in facets]
        return None if None in found else tuple(map(str, found))

    def joined(self, one: int, name: str, other: int, other_name: str) -> bool:
        return frozenset((name, other_name)) not in self.apart


def role(count: int = 1, **scores: float) -> Role:
    return Role(count, [Candidate(name, score) for name, score in scores.items()])


def found(roles: Sequence[Role], relations: Stated | None = None, max_steps: int = MANY) -> Found:
    return best_gang(roles, relations or Stated(), max_steps)


@pytest.mark.parametrize(
    ("roles", "gang", "score"),
    [
        pytest.param([role(a=0.2, b=0.9)], (("b",),), 0.9, id="one place"),
        pytest.param([role(a=0.5, b=0.5)], (("a",),), 0.5, id="equal ones go by name"),
        pytest.param([role(2, a=0.1, b=0.9, c=0.5)], (("b", "c"),), 1.4, id="the best two, best first"),
        pytest.param([role(a=1.0, b=0.5), role(a=0.9, b=0.1)], (("b",), ("a",)), 1.4, id="nobody is two members"),
        pytest.param([role(a=-1.0), role(b=-2.0)], (("a",), ("b",)), -3.0, id="scores below zero"),
        pytest.param([role(2, a=1.0)], None, float("-inf"), id="too few"),
        pytest.param([role(a=1.0), role(a=1.0)], None, float("-inf"), id="one endpoint for two"),
        pytest.param([role(a=1.0), role()], None, float("-inf"), id="nobody"),
    ],
)
def test_the_best_assignment_is_found(
    roles: Sequence[Role], gang: tuple[tuple[str, ...], ...] | None, score: float
) -> None:
    answer = found(roles)
    assert (answer.gang, answer.truncated) == (gang, False)
    assert answer.score == pytest.approx(score)


HOSTS = {name: {"host": name[-1]} for name in ("p1", "p2", "p3", "d1", "d2", "e2")} | {"d0": {}}
APART = frozenset(map(frozenset, [("p1", "d1")]))


@pytest.mark.parametrize(
    ("roles", "relations", "gang"),
    [
        pytest.param(
            [role(p1=0.1, p2=0.2, p3=1.0), role(d1=0.9, d2=0.1)],
            Stated({(0, 1): ("host",)}, HOSTS),
            (("p1",), ("d1",)),
            id="together on one host",
        ),
        pytest.param(
            [role(p1=1.0), role(d0=1.0)], Stated({(0, 1): ("host",)}, HOSTS), None, id="a value that one does not have"
        ),
        pytest.param(
            [role(2, p1=1.0, p2=0.9, d1=0.1)],
            Stated({(0, 0): ("host",)}, HOSTS),
            (("p1", "d1"),),
            id="two of one member on one host",
        ),
        pytest.param(
            [role(p1=1.0, p2=0.1), role(d1=1.0, d2=0.3)], Stated(apart=APART), (("p1",), ("d2",)), id="a pair apart"
        ),
        pytest.param(
            [role(e2=1.0), role(p1=1.0, p2=0.1), role(d1=1.0, d2=0.3)],
            Stated({(0, 1): ("host",), (1, 2): ("host",)}, HOSTS),
            (("e2",), ("p2",), ("d2",)),
            id="a chain of three",
        ),
    ],
)
def test_every_two_members_are_related(
    roles: Sequence[Role], relations: Stated, gang: tuple[tuple[str, ...], ...] | None
) -> None:
    assert found(roles, relations).gang == gang


# --- against brute force ---------------------------------------------------------------------------------

NAMES = [f"e{number}" for number in range(7)]
FACETS = ("host", "rev")
SCORES = st.integers(-8, 16).map(lambda eighths: eighths / 8)  # sums of these are exact


@st.composite
def problems(draw: st.DrawFn) -> tuple[list[Role], Stated]:
    roles = [
        Role(draw(st.integers(1, 3)), [Candidate(name, draw(SCORES)) for name in NAMES if draw(st.integers(0, 3))])
        for _ in range(draw(st.integers(1, 3)))
    ]
    pairs = [(one, other) for one in range(len(roles)) for other in range(one, len(roles))]
    facets = st.sampled_from([(), (), ("host",), ("rev",), FACETS])
    values = {
        name: {facet: value for facet in FACETS if (value := draw(st.sampled_from(["1", "2", ""])))} for name in NAMES
    }
    apart = draw(st.sets(st.sampled_from([frozenset(pair) for pair in combinations(NAMES, 2)]), max_size=8))
    return roles, Stated({pair: draw(facets) for pair in pairs}, values, frozenset(apart))


def holds(gang: Sequence[Sequence[str]], roles: Sequence[Role], relations: Stated) -> bool:
    """Whether it is a gang at all, written down without regard to how one is found."""
    members = [(number, name) for number, names in enumerate(gang) for name in names]
    candidates = [{candidate.name for candidate in each.candidates} for each in roles]
    if len({name for _, name in members}) < len(members) or not all(name in candidates[n] for n, name in members):
        return False
    for (one, name), (other, other_name) in combinations(members, 2):
        facets = relations.facets(one, other)
        keys = relations.key(name, facets), relations.key(other_name, facets)
        if None in keys or keys[0] != keys[1] or not relations.joined(one, name, other, other_name):
            return False
    return True


def brute_force(roles: Sequence[Role], relations: Stated) -> float | None:
    """The most that any gang is worth."""
    choices = [list(combinations(each.candidates, each.count)) for each in roles]
    worth = [
        sum(candidate.score for chosen in picks for candidate in chosen)
        for picks in product(*choices)
        if holds([[candidate.name for candidate in chosen] for chosen in picks], roles, relations)
    ]
    return max(worth, default=None)


@settings(max_examples=400, deadline=None)
@given(problem=problems())
def test_brute_force_finds_nothing_better(problem: tuple[list[Role], Stated]) -> None:
    roles, relations = problem
    answer, best = found(roles, relations), brute_force(roles, relations)
    assert not answer.truncated
    assert (answer.gang is None) == (best is None)
    if answer.gang is not None:
        assert answer.score == best
        assert [len(names) for names in answer.gang] == [each.count for each in roles]
        assert holds(answer.gang, roles, relations)


@settings(max_examples=200, deadline=None)
@given(problem=problems(), max_steps=st.integers(1, 40))
def test_what_a_search_that_ends_early_gives_is_a_gang_all_the_same(
    problem: tuple[list[Role], Stated], max_steps: int
) -> None:
    roles, relations = problem
    answer = found(roles, relations, max_steps)
    assert answer.steps <= max_steps
    assert answer.gang is None or holds(answer.gang, roles, relations)
    if not answer.truncated:
        assert answer == found(roles, relations)


# --- large pools -----------------------------------------------------------------------------------------


def large(count: int, *names: str) -> Role:
    """Candidates with scores from 0 to 1 in no order."""
    return Role(count, [Candidate(name, number * 7919 % 1000 / 1000) for number, name in enumerate(names)])


PREFILL = [f"p{number:03}" for number in range(500)]
DECODE = [f"d{number:03}" for number in range(500)]


def test_a_large_pool_without_ties_is_searched_in_as_many_steps_as_there_are_places() -> None:
    answer = found([large(4, *PREFILL), large(4, *DECODE)])
    assert (answer.steps, answer.truncated) == (8, False)
    assert answer.score == pytest.approx(2 * 3.978)


def test_a_shared_host_is_found_in_a_large_pool_without_trying_every_pair() -> None:
    hosts = {name: {"host": name[1:]} for name in (*PREFILL, *DECODE)}
    roles = [large(1, *PREFILL), large(1, *reversed(DECODE))]
    answer = found(roles, Stated({(0, 1): ("host",)}, hosts))
    assert not answer.truncated
    assert answer.steps <= 1000
    by_name = [{candidate.name[1:]: candidate.score for candidate in each.candidates} for each in roles]
    assert answer.score == pytest.approx(max(by_name[0][host] + by_name[1][host] for host in by_name[0]))


def test_that_no_host_has_both_is_known_after_one_step_for_each_candidate() -> None:
    hosts = {name: {"host": name} for name in (*PREFILL, *DECODE)}
    answer = found([large(1, *PREFILL), large(1, *DECODE)], Stated({(0, 1): ("host",)}, hosts))
    assert (answer.gang, answer.steps, answer.truncated) == (None, 500, False)


class FarApart(Stated):
    """Only the last two are near enough to each other."""

    def joined(self, one: int, name: str, other: int, other_name: str) -> bool:
        return {name, other_name} == {"p499", "d499"}


@pytest.mark.parametrize(
    ("max_steps", "gang"),
    [
        pytest.param(20_000, None, id="it ends in time"),
        pytest.param(MANY, (("p499",), ("d499",)), id="with more steps it would be found"),
    ],
)
def test_ties_between_single_pairs_are_searched_within_the_bound(
    max_steps: int, gang: tuple[tuple[str, ...], ...] | None
) -> None:
    answer = found([large(1, *PREFILL), large(1, *DECODE)], FarApart(), max_steps)
    assert answer.gang == gang
    assert answer.truncated == (gang is None)
    assert answer.steps <= max_steps
