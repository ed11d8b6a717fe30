from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from plugins.fairness.bands import RankedBand, head_of, heads, waiting
from turnout.framework.testing import check_fairness
from turnout.plugins.fairness.round_robin import MAX_BANDS, RoundRobinFairnessPolicy


def filled(flows: dict[str, int], policy: RoundRobinFairnessPolicy | None = None, priority: int = 0) -> RankedBand:
    band = RankedBand(policy or RoundRobinFairnessPolicy(), priority)
    for fairness_id, count in flows.items():
        for _ in range(count):
            band.arrive(fairness_id)
    return band


def dispatched(band: RankedBand, count: int) -> str:
    return "".join(band.dispatch() for _ in range(count))


def test_flows_go_in_turn_whatever_their_length() -> None:
    assert dispatched(filled({"c": 2, "a": 5, "b": 1}), 8) == "abcacaaa"


def test_a_flow_that_comes_later_has_its_turn_in_this_round_if_its_id_lies_ahead() -> None:
    band = filled({"b": 3, "d": 3})
    assert dispatched(band, 1) == "b"
    band.arrive("a")
    band.arrive("c")
    assert dispatched(band, 5) == "cdabd"


def test_a_flow_that_comes_back_does_not_go_twice_in_a_round() -> None:
    band = filled({"a": 1, "b": 2, "c": 2})
    assert dispatched(band, 1) == "a"
    band.arrive("a")
    assert dispatched(band, 4) == "bcab"


def test_a_client_that_leaves_does_not_cost_its_flow_the_turn() -> None:
    band = filled({"a": 1, "b": 2, "c": 1})
    assert dispatched(band, 1) == "a"
    band.drop_head("b")
    assert dispatched(band, 2) == "bc"


def test_an_overdue_request_uses_up_the_turn_of_its_flow_and_no_other() -> None:
    band = filled({"a": 3, "b": 3, "c": 3})
    assert band.dispatch("c") == "c"
    assert dispatched(band, 5) == "ababc"


def test_who_comes_after_an_overdue_request_has_its_turn_in_the_next_round() -> None:
    band = filled({"a": 3, "d": 3})
    band.dispatch("d")
    assert dispatched(band, 1) == "a"
    band.arrive("b")
    assert dispatched(band, 3) == "abd"


def test_a_slow_queue_of_the_same_priority_does_not_turn_the_rounds_back() -> None:
    policy = RoundRobinFairnessPolicy()
    slow, fast = filled({"a": 2}, policy), filled({"b": 30, "c": 30}, policy)
    dispatched(fast, 40)
    dispatched(slow, 1)
    for _ in range(5):
        fast.arrive("d")
    assert dispatched(fast, 6) == "dbcdbc"


def test_priorities_have_rounds_of_their_own() -> None:
    policy = RoundRobinFairnessPolicy()
    high, low = filled({"a": 2, "b": 2}, policy, 1), filled({"a": 2, "b": 2}, policy, 0)
    assert dispatched(high, 3) == "aba"
    assert dispatched(low, 3) == "aba"
    assert dispatched(high, 1) == "b"


def test_a_request_that_moved_to_another_priority_does_not_take_its_round_along() -> None:
    policy = RoundRobinFairnessPolicy()
    low = filled({"m": 50}, policy, 0)
    dispatched(low, 49)
    head = head_of(low.flows["m"][0])
    assert policy.flow_rank(head, 0.0) == (50, 0.0, "m")
    policy.request_dispatched(head.head, 1, 0.0)
    assert policy.flow_rank(head_of(waiting("a"), priority=1), 0.0) == (2, 0.0, "a")


def test_priorities_that_were_not_used_for_long_are_forgotten_and_what_waits_there_keeps_its_place() -> None:
    policy = RoundRobinFairnessPolicy()
    band = filled({"c": 30}, policy)
    dispatched(band, 20)
    for priority in range(1, 2 * MAX_BANDS):
        policy.request_dispatched(waiting("x"), priority, 0.0)
    assert len(policy._turns) == MAX_BANDS
    band.arrive("a")
    assert dispatched(band, 3) == "cac"


class AgainstAPointer(RuleBasedStateMachine):
    """The policy in a band, and a pointer to the flow that went last, which looks at all flows at each dispatch."""

    ids = st.sampled_from("abcdef")

    @initialize()
    def begin(self) -> None:
        self.band = RankedBand(RoundRobinFairnessPolicy())
        self.last = ""
        # How often each other flow went while a flow's head waited.
        self.passed_over: dict[str, Counter[str]] = {}

    @rule(fairness_id=ids)
    def arrive(self, fairness_id: str) -> None:
        self.band.arrive(fairness_id)
        self.passed_over.setdefault(fairness_id, Counter())

    @precondition(lambda self: self.band.flows)
    @rule()
    def dispatch(self) -> None:
        ahead = [fairness_id for fairness_id in self.band.flows if fairness_id > self.last]
        self.last = min(ahead or self.band.flows)
        assert self.band.dispatch() == self.last
        self.passed_over.pop(self.last)
        for others in self.passed_over.values():
            others[self.last] += 1
        if self.last in self.band.flows:
            self.passed_over[self.last] = Counter()

    @precondition(lambda self: self.band.flows)
    @rule(data=st.data())
    def drop_head(self, data: st.DataObject) -> None:
        fairness_id = data.draw(st.sampled_from(sorted(self.band.flows)))
        self.band.drop_head(fairness_id)
        if fairness_id not in self.band.flows:
            del self.passed_over[fairness_id]

    @invariant()
    def no_flow_is_passed_over_twice_by_another(self) -> None:
        assert all(count <= 1 for others in self.passed_over.values() for count in others.values())


TestAgainstAPointer = AgainstAPointer.TestCase


@given(
    counts=st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 5), min_size=1),
    overdue=st.lists(st.tuples(st.integers(0, 10), st.sampled_from("abcdef")), max_size=6),
)
def test_requests_out_of_turn_delay_nobody_by_more_than_a_round_each(
    counts: dict[str, int], overdue: list[tuple[int, str]]
) -> None:
    band = filled(counts)
    passed_over = dict.fromkeys(counts, 0)
    at = dict(overdue)
    for step in range(sum(counts.values())):
        wanted = at.get(step)
        gone = band.dispatch(wanted if wanted in band.flows else None)
        passed_over = {
            fairness_id: count + 1 for fairness_id, count in passed_over.items() if fairness_id in band.flows
        }
        if gone in band.flows:
            passed_over[gone] = 0
        assert all(count <= (len(counts) - 1) * (1 + len(at)) + len(at) for count in passed_over.values())


@given(ids=st.lists(st.text(max_size=4), min_size=1, max_size=8, unique=True))
def test_the_policy_keeps_its_contract(ids: list[str]) -> None:
    policy = RoundRobinFairnessPolicy()
    assert check_fairness(policy, heads(*ids), 0.0).fairness_id == min(ids)
    policy.request_dispatched(waiting(min(ids)), 0, 0.0)
    after = [fairness_id for fairness_id in ids if fairness_id > min(ids)]
    assert check_fairness(policy, heads(*ids), 0.0).fairness_id == min(after or ids)


def test_a_request_that_was_never_ranked_counts_as_a_turn() -> None:
    policy = RoundRobinFairnessPolicy()
    policy.request_dispatched(waiting("b"), 0, 0.0)
    assert policy.flow_rank(head_of(waiting("c")), 0.0) == (1, 0.0, "c")
    assert policy.flow_rank(head_of(waiting("a")), 0.0) == (2, 0.0, "a")
