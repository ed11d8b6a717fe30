import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from framework.fakes import Best, Keep, Score
from turnout.framework import PROMPT, CycleState, Endpoint, InferenceRequest, ScoredEndpoint, Scores, StateKey
from turnout.framework.testing import (
    check_filter,
    check_picker,
    check_producer,
    check_scorer,
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
