from collections.abc import Sequence

import pytest

from plugins.topology.known import KnownTopology
from turnout.framework import Endpoint, Quantity
from turnout.framework.testing import make_endpoint
from turnout.plugins.gang.books import Books
from turnout.plugins.gang.constraints import Ties
from turnout.plugins.gang.members import Constraint, GangShape, Member
from turnout.plugins.gang.outlook import MAX_KEPT, Outlook, Outlooks
from turnout.plugins.gang.search import Candidate, Role
from turnout.plugins.topology.keys import Reach, Route

P1, P2, D1, D2 = (make_endpoint(name, labels={"role": name[0], "rev": name[1]}) for name in ("p1", "p2", "d1", "d2"))
POOL = [P1, P2, D1, D2]
NAMES = [endpoint.name for endpoint in POOL]
MEMBERS = [Member("prefill", match_labels={"role": "p"}), Member("decode", match_labels={"role": "d"})]


class Asked:
    """Outlooks with the books behind them."""

    def __init__(self, *constraints: Constraint, max_steps: int = 1000) -> None:
        shape = GangShape(MEMBERS, "", constraints)
        self.books = Books(1, 30.0)
        self.outlooks = Outlooks(shape, Ties(shape), self.books, max_steps)

    def __call__(
        self, pool: Sequence[Endpoint] = POOL, topology: KnownTopology | None = None, now: float = 0.0
    ) -> Outlook:
        return self.outlooks.of((1, 1), pool, topology, now)


def test_a_gang_that_is_free_is_offered_and_one_that_is_taken_may_be_later() -> None:
    ask = Asked(Constraint(same=["rev"]))
    assert ask() == Outlook((("default/p1",), ("default/d1",)), True)
    ask.books.book([P1.name])
    assert ask() == Outlook((("default/p2",), ("default/d2",)), True)
    other = ask.books.book([D2.name])
    assert ask() == Outlook(None, True)
    ask.books.release(other)
    assert ask() == Outlook((("default/p2",), ("default/d2",)), True)


@pytest.mark.parametrize(
    ("pool", "possible"),
    [
        pytest.param([P1, D2], False, id="a constraint that none of them meets"),
        pytest.param([P1, P2], False, id="nobody has the labels of one member"),
        pytest.param([P2, D1, D2], True, id="one pair does"),
        pytest.param([], False, id="nobody"),
    ],
)
def test_what_can_never_be_is_known_however_much_is_taken(pool: Sequence[Endpoint], possible: bool) -> None:
    ask = Asked(Constraint(same=["rev"]))
    ask.books.book(NAMES)
    assert ask(pool) == Outlook(None, possible)
    assert ask.outlooks.possible((1, 1), pool, None, 0.0) == possible


def test_bandwidth_counts_as_enough_until_a_topology_is_known() -> None:
    ask = Asked(Constraint(min_bandwidth=Quantity(10)))
    ways = {("default/p2", "default/d1"): Route(Reach.RACK, 10.0, 0.0)}
    assert ask() == Outlook((("default/p1",), ("default/d1",)), True)
    assert ask(topology=KnownTopology(ways=ways)) == Outlook((("default/p2",), ("default/d1",)), True)
    assert ask([P1, D2], KnownTopology(ways=ways)) == Outlook(None, False)


def test_answers_are_kept_for_a_second() -> None:
    ask = Asked(Constraint(min_bandwidth=Quantity(10)))
    ways: dict[tuple[str, str], Route] = {}
    topology = KnownTopology(ways=ways)
    assert ask(topology=topology) == Outlook(None, False)
    ways["default/p2", "default/d1"] = Route(Reach.RACK, 10.0, 0.0)
    assert ask(topology=topology, now=0.9) == Outlook(None, False)
    assert ask(topology=topology, now=1.0).gang == (("default/p2",), ("default/d1",))


def test_answers_are_forgotten_with_the_pool_that_they_are_about() -> None:
    ask = Asked(Constraint(same=["rev"]))
    assert ask([P1, D2]) == Outlook(None, False)
    relabelled = [P1, make_endpoint("d2", labels={"role": "d", "rev": "1"})]
    ask.outlooks.forget()
    assert ask(relabelled) == Outlook((("default/p1",), ("default/d2",)), True)


def test_no_more_answers_are_kept_than_there_may_be() -> None:
    ask = Asked()
    for number in range(3 * MAX_KEPT):
        ask([make_endpoint(str(number))])
    assert 0 < len(ask.outlooks._kept) <= MAX_KEPT


def test_a_search_that_ends_early_says_perhaps_later() -> None:
    ask = Asked(Constraint(same=["rev"]), max_steps=1)
    assert ask() == Outlook(None, True)
    assert ask.outlooks.truncated == 1
    ask()
    assert ask.outlooks.truncated == 1


def test_after_a_search_that_ended_early_the_next_is_a_while_later() -> None:
    ask = Asked(Constraint(same=["rev"]), max_steps=1)
    ask(now=5.0)
    for now, searches in ((5.05, 1), (6.9, 1), (7.1, 2), (7.2, 2)):
        ask.books.book([])
        assert ask(now=now) == Outlook(None, True)
        assert ask.outlooks.truncated == searches


def test_two_that_are_on_one_host_are_found_among_more_pairs_than_can_be_looked_at() -> None:
    hosts = [
        make_endpoint(f"{role}{number}", labels={"role": role, "kubernetes.io/hostname": f"h{number}"})
        for role in "pd"
        for number in range(200)
    ]
    fast = Route(Reach.NVLINK, 300e9, 0.0)
    topology = KnownTopology(ways={("default/p150", "default/d150"): fast})
    ask = Asked(Constraint(min_bandwidth=Quantity(100 * 10**9)), max_steps=500)
    assert ask(hosts, topology) == Outlook((("default/p150",), ("default/d150",)), True)
    assert ask.outlooks.truncated == 0


def test_single_hosts_are_looked_at_more_often_than_all_pairs() -> None:
    hosts = [
        make_endpoint(f"{role}{number}", labels={"role": role, "kubernetes.io/hostname": f"h{number}"})
        for role in "pd"
        for number in range(200)
    ]
    ways = {("default/p150", "default/d150"): Route(Reach.NVLINK, 300e9, 0.0)}
    ask = Asked(Constraint(min_bandwidth=Quantity(100 * 10**9)), max_steps=500)
    busy = ask.books.book(["default/p150"])
    assert ask(hosts, KnownTopology(ways=ways), now=1.0) == Outlook(None, True)
    ask.books.release(busy)
    assert ask(hosts, KnownTopology(ways=ways), now=1.4) == Outlook(None, True)
    assert ask(hosts, KnownTopology(ways=ways), now=1.6).gang == (("default/p150",), ("default/d150",))
    assert ask.outlooks.truncated == 1


def test_what_was_found_for_a_request_before_its_turn_is_found_again() -> None:
    pool = [make_endpoint(f"{role}{number}", labels={"role": role}) for role in "pd" for number in range(100)]
    ways = {("default/p99", "default/d99"): Route(Reach.RACK, 2e9, 0.0)}
    ask = Asked(Constraint(min_bandwidth=Quantity(10**9)), max_steps=500)
    roles = [
        Role(1, [Candidate(one.name, 0.0 if "99" in one.name else 1.0) for one in pool if one.labels["role"] == role])
        for role in "pd"
    ]
    held = (("default/p99",), ("default/d99",))
    assert ask.outlooks.best(roles, pool, KnownTopology(ways=ways)).gang is None
    found = ask.outlooks.best(roles, pool, KnownTopology(ways=ways), held)
    assert (found.gang, found.truncated) == (held, True)
    # Of what is held by the labels alone, nothing is left when the ways are known.
    assert ask.outlooks.best(roles, pool, KnownTopology(), held).gang is None
