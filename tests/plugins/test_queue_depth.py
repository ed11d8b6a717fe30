import pytest
from hypothesis import given

from plugins.generated import endpoint_lists
from turnout.framework import Endpoint, Scorer
from turnout.framework.testing import check_scorer, make_endpoint, make_request, make_state
from turnout.plugins.queue_depth import QueueScorer, RunningRequestsSizeScorer

SCORES = [
    pytest.param([0, 5, 10], [1.0, 0.5, 0.0], id="the shortest is best and the rest is in proportion"),
    pytest.param([7, 7], [1.0, 1.0], id="a tie is good for all"),
    pytest.param([3], [1.0], id="an only candidate is best"),
    pytest.param([2, 3, 6], [1.0, 0.75, 0.0], id="the range counts and not the distance from zero"),
]


@pytest.mark.parametrize(("depths", "expected"), SCORES)
def test_short_queues_score_high(depths: list[int], expected: list[float]) -> None:
    endpoints = [make_endpoint(str(i), waiting=depth, running=9 - i) for i, depth in enumerate(depths)]
    assert QueueScorer().score(make_request(), make_state(), endpoints) == expected


@pytest.mark.parametrize(("running", "expected"), SCORES)
def test_few_running_requests_score_high(running: list[int], expected: list[float]) -> None:
    endpoints = [make_endpoint(str(i), running=count, waiting=9 - i) for i, count in enumerate(running)]
    assert RunningRequestsSizeScorer().score(make_request(), make_state(), endpoints) == expected


@pytest.mark.parametrize("scorer", [QueueScorer(), RunningRequestsSizeScorer()], ids=["queue", "running"])
@given(endpoints=endpoint_lists())
def test_the_scorers_keep_their_contract(scorer: Scorer, endpoints: list[Endpoint]) -> None:
    check_scorer(scorer, make_request(), make_state(), endpoints)
