import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from framework.fakes import Best, Keep, Score
from turnout.framework import (
    PROMPT,
    CycleState,
    Endpoint,
    FlowHead,
    FlowRank,
    InferenceRequest,
    QueuedRequest,
    ScoredEndpoint,
    Scores,
    StateKey,
)
from turnout.framework.testing import (
    check_detector,
    check_fairness,
    check_filter,
    check_ordering,
    check_picker,
    check_producer,
    check_scorer,
    check_usage_limit,
    make_endpoint,
    make_request,
    make_state,
)

A, B, C = (make_endpoint(name) for name in "abc")
POOL = [A, B, C]
SCORED = [ScoredEndpoint(endpoint, 0.5) for endpoint in POOL]


@dataclass
class FilterBy:
    """A filter made of a function."""

    keep: Callable[[list[Endpoint]], Sequence[Endpoint]]

    def filter(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        assert isinstance(endpoints, list)
        return self.keep(endpoints)


@dataclass
class PickBy:
    """A picker made of a function."""

    choice: Callable[[Sequence[ScoredEndpoint]], Sequence[Endpoint]]

    def pick(
        self, request: InferenceRequest, state: CycleState, scored: Sequence[ScoredEndpoint]
    ) -> Sequence[Endpoint]:
        return self.choice(scored)


class Forgetful:
    """Scores differently each time."""

    def __init__(self) -> None:
        self.calls = 0

    def score(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Scores:
        self.calls += 1
        return [1.0 / self.calls] * len(endpoints)


def empties(endpoints: list[Endpoint]) -> list[Endpoint]:
    endpoints.clear()
    return []


@pytest.mark.parametrize(
    ("keep", "rule"),
    [
        pytest.param(lambda given: [make_endpoint("d")], "only endpoints it was given: default/d", id="a stranger"),
        pytest.param(lambda given: [make_endpoint("a")], "only endpoints it was given: default/a", id="a copy"),
        pytest.param(lambda given: given[::-1], "keeps the order", id="another order"),
        pytest.param(lambda given: [given[0], given[0]], "repeats nothing", id="one twice"),
        pytest.param(empties, "does not change the sequence it is given", id="changes its input"),
    ],
)
def test_a_filter_that_breaks_a_rule_is_told_which(
    keep: Callable[[list[Endpoint]], Sequence[Endpoint]], rule: str
) -> None:
    with pytest.raises(AssertionError, match=rule):
        check_filter(FilterBy(keep), make_request(), make_state(), list(POOL))


@pytest.mark.parametrize(
    ("scorer", "rule"),
    [
        pytest.param(Score([0.1, 0.1]), "2 scores for 3 endpoints", id="too few"),
        pytest.param(Score([0.1, 1.5, 0.1]), r"default/b is scored 1.5, which is not within \[0, 1\]", id="too high"),
        pytest.param(Score([0.1, float("nan"), 0.1]), "default/b is scored nan", id="not a number"),
        pytest.param(Forgetful(), "has no effect and repeats its answer", id="another answer when asked again"),
    ],
)
def test_a_scorer_that_breaks_a_rule_is_told_which(scorer: Score | Forgetful, rule: str) -> None:
    with pytest.raises(AssertionError, match=rule):
        check_scorer(scorer, make_request(), make_state(), POOL)


@pytest.mark.parametrize(
    ("choose", "rule"),
    [
        pytest.param(lambda scored: [], "picks at least one endpoint", id="nothing"),
        pytest.param(lambda scored: [make_endpoint("d")], "picks among the candidates: default/d", id="a stranger"),
        pytest.param(lambda scored: [scored[0].endpoint] * 2, "picks no endpoint twice", id="one twice"),
    ],
)
def test_a_picker_that_breaks_a_rule_is_told_which(
    choose: Callable[[Sequence[ScoredEndpoint]], Sequence[Endpoint]], rule: str
) -> None:
    with pytest.raises(AssertionError, match=rule):
        check_picker(PickBy(choose), make_request(), make_state(), SCORED)


KEY = StateKey[int]("answer")


@dataclass
class Producer:
    """Declares a key, and writes it or not."""

    does_write: bool
    writes: tuple[StateKey[int], ...] = (KEY,)

    async def produce(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> None:
        await asyncio.sleep(0)
        if self.does_write:
            state.write(KEY, 42)


def test_a_producer_that_does_not_write_what_it_declares_is_told_so() -> None:
    with pytest.raises(AssertionError, match="declared in writes but not written: StateKey"):
        check_producer(Producer(does_write=False), make_request(), make_state(), POOL)


def test_checks_return_what_the_plugin_answered() -> None:
    request, state = make_request(), make_state()
    assert check_filter(Keep("bc"), request, state, POOL) == [B, C]
    assert check_scorer(Score([0.0, 0.5, 1.0]), request, state, POOL) == [0.0, 0.5, 1.0]
    assert check_picker(Best(), request, state, SCORED) == [A]
    assert check_producer(Producer(does_write=True), request, state, POOL).read(KEY) == 42


def test_builders_make_what_the_server_makes() -> None:
    endpoint = make_endpoint("a", waiting=3, running=2, kv_cache_utilization=0.5, labels={"zone": "x"}, in_flight=4)
    assert (endpoint.name, endpoint.host_port, endpoint.in_flight) == ("default/a", "10.0.0.98:8000", 4)
    assert (endpoint.metrics.waiting_queue_size, endpoint.metrics.running_requests) == (3, 2)
    assert len({make_endpoint(f"e{number}").address for number in range(1000)}) == 1000
    request = make_request("r9", model="llama", headers={"X-A": "1"}, priority=2, fairness_id="team")
    assert (request.request_id, request.target_model, request.headers.get("x-a")) == ("r9", "llama", "1")
    assert PROMPT not in make_state(now=2.0)
    assert make_state("hello").read(PROMPT).tokens == 2


ITEM = QueuedRequest(make_request("r7"), 1.0)
FLOWS = [FlowHead("a", ITEM, 1), FlowHead("b", QueuedRequest(make_request(), 0.5), 1)]


@dataclass
class Policy:
    """Any policy of flow control, made of its answers; after the last one they begin again."""

    answers: list[float]
    asked: int = 0

    def _next(self) -> float:
        self.asked += 1
        return self.answers[(self.asked - 1) % len(self.answers)]

    def rank(self, item: QueuedRequest, now: float) -> float:
        return self._next()

    def saturation(self, endpoints: Sequence[Endpoint], now: float) -> float:
        return self._next()

    def ceilings(self, saturation: float, priorities: Sequence[int]) -> Sequence[float]:
        return self.answers

    def flow_rank(self, flow: FlowHead, now: float) -> FlowRank:
        return self._next(), 0.0, ""


@dataclass
class Chooser:
    """A fairness policy made of a function."""

    choice: Callable[[Sequence[FlowHead]], FlowHead]

    def choose(self, flows: Sequence[FlowHead], now: float) -> FlowHead:
        return self.choice(flows)


@pytest.mark.parametrize(
    ("answers", "rule"),
    [
        pytest.param([float("nan")], "r7 is ranked nan", id="not a number"),
        pytest.param([1.0, 2.0], "has no effect and repeats its answer", id="another rank when asked again"),
    ],
)
def test_an_ordering_policy_that_breaks_a_rule_is_told_which(answers: list[float], rule: str) -> None:
    with pytest.raises(AssertionError, match=rule):
        check_ordering(Policy(answers), ITEM, 2.0)


def test_a_fairness_policy_that_breaks_a_rule_is_told_which() -> None:
    with pytest.raises(AssertionError, match="chooses among the flows it was given"):
        check_fairness(Chooser(lambda flows: FlowHead("a", ITEM, 1)), FLOWS, 2.0)
    turns = iter([0, 1])
    with pytest.raises(AssertionError, match="a question has no effect"):
        check_fairness(Chooser(lambda flows: flows[next(turns)]), FLOWS, 2.0)
    with pytest.raises(AssertionError, match="flow b has a rank that is no number"):
        check_fairness(Policy([1.0, float("nan")]), FLOWS, 2.0)
    with pytest.raises(AssertionError, match="a question has no effect"):
        check_fairness(Policy([1.0, 2.0, 3.0, 1.0]), FLOWS, 2.0)


@pytest.mark.parametrize(
    ("answers", "rule"),
    [
        pytest.param([0.0], "an empty pool is saturated: 1.0", id="an empty pool has room"),
        pytest.param([1.0, -0.1], "saturation is -0.1, which is not at least 0", id="negative"),
        pytest.param([1.0, float("nan")], "saturation is nan", id="not a number"),
        pytest.param([1.0, 0.5, 0.6], "a detector repeats its answer", id="another answer when asked again"),
    ],
)
def test_a_detector_that_breaks_a_rule_is_told_which(answers: list[float], rule: str) -> None:
    with pytest.raises(AssertionError, match=rule):
        check_detector(Policy(answers), POOL, 2.0)


@pytest.mark.parametrize(
    ("answers", "rule"),
    [
        pytest.param([1.0], "1 ceilings for 2 priorities", id="too few"),
        pytest.param([1.0, -1.0], "priority 0 has the ceiling -1.0, which is not at least 0", id="negative"),
        pytest.param([float("nan"), 1.0], "priority 5 has the ceiling nan", id="not a number"),
    ],
)
def test_a_usage_limit_policy_that_breaks_a_rule_is_told_which(answers: list[float], rule: str) -> None:
    with pytest.raises(AssertionError, match=rule):
        check_usage_limit(Policy(answers), 0.5, [5, 0])


def test_checks_of_flow_control_return_what_the_policy_answered() -> None:
    assert check_ordering(Policy([4.0]), ITEM, 2.0) == 4.0
    assert check_fairness(Policy([2.0, 1.0]), FLOWS, 2.0) is FLOWS[1]
    assert check_fairness(Policy([1.0]), FLOWS, 2.0) is FLOWS[1], "of equals the one that came first"
    assert check_fairness(Chooser(lambda flows: flows[0]), FLOWS, 2.0) is FLOWS[0]
    assert check_detector(Policy([1.0, 0.5, 0.5]), POOL, 2.0) == 0.5
    assert check_usage_limit(Policy([1.0, 0.5]), 0.5, [5, 0]) == [1.0, 0.5]
