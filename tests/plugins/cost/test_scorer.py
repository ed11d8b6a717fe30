import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.framework import CycleState, InferenceRequest
from turnout.framework.testing import check_scorer, make_endpoint, make_request
from turnout.plugins.cost.keys import EXPECTED_COSTS, ExpectedCosts
from turnout.plugins.cost.scorer import CostScorer, overshoot
from turnout.plugins.latency.keys import LATENCY_PREDICTIONS, SLO_TARGETS, LatencyPrediction, SloTargets

POOL = [make_endpoint(name) for name in "abcd"]
REQUEST = make_request()
IN_A_SECOND = replace(REQUEST, ttft_target=1.0)


def state_with(costs: list[float | None], ttfts: list[float | None] | None = None) -> CycleState:
    state = CycleState()
    named = {endpoint.name: cost for endpoint, cost in zip(POOL, costs, strict=False) if cost is not None}
    state.write(EXPECTED_COSTS.of(""), ExpectedCosts("USD", named))
    if ttfts is not None:
        predictions = {
            endpoint.name: LatencyPrediction(ttft, 0.01)
            for endpoint, ttft in zip(POOL, ttfts, strict=False)
            if ttft is not None
        }
        state.write(LATENCY_PREDICTIONS.of(""), predictions)
    return state


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        pytest.param(state_with([1.0, 2.0, 3.0, 5.0]), [1.0, 0.75, 0.5, 0.0], id="in proportion"),
        pytest.param(state_with([2.0, 2.0, 2.0, 2.0]), [1.0, 1.0, 1.0, 1.0], id="all the same"),
        pytest.param(state_with([2.0, None, 2.0, 2.0]), [1.0, 0.0, 1.0, 1.0], id="an unknown one is the dearest"),
        pytest.param(state_with([1.0, None, 2.0, 3.0]), [1.0, 0.0, 0.5, 0.0], id="as dear as the dearest"),
        pytest.param(state_with([None, None, None, None]), [1.0, 1.0, 1.0, 1.0], id="no costs known"),
        pytest.param(CycleState(), [1.0, 1.0, 1.0, 1.0], id="the producer failed"),
        pytest.param(state_with([0.0, 0.0, 1e15, 1e15]), [1.0, 1.0, 0.0, 0.0], id="for nothing"),
    ],
)
def test_without_targets_the_cheapest_is_best(state: CycleState, expected: list[float]) -> None:
    assert CostScorer().score(REQUEST, state, POOL) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("ttfts", "expected"),
    [
        pytest.param([0.5, 0.5, 0.5, 0.5], [1.0, 0.75, 0.5, 0.0], id="all meet it"),
        pytest.param([1.5, 0.5, 0.5, 0.5], [0.25, 1.0, 5 / 6, 0.5], id="the cheapest misses it"),
        pytest.param([2.0, 1.5, 1.0, 0.9], [0.0, 0.25, 1.0, 0.5], id="two miss it, the one by less"),
        pytest.param([2.0, 3.0, 4.0, 4.0], [1.0, 0.5, 0.0, 0.0], id="all miss it: the nearest is best"),
        pytest.param([None, 3.0, None, 0.5], [1.0, 0.25, 0.75, 0.5], id="without a prediction it is met"),
        pytest.param([math.nan, 0.5, 0.5, 0.5], [0.25, 1.0, 5 / 6, 0.5], id="a prediction that is no number misses it"),
    ],
)
def test_what_meets_the_target_goes_before_what_misses_it(ttfts: list[float | None], expected: list[float]) -> None:
    state = state_with([1.0, 2.0, 3.0, 5.0], ttfts)
    assert CostScorer().score(IN_A_SECOND, state, POOL) == pytest.approx(expected)


def test_headroom_is_kept_from_the_target() -> None:
    state = state_with([1.0, 2.0, 3.0, 5.0], [0.9, 0.7, 0.7, 0.7])
    assert CostScorer(ttft_headroom_ms=50.0).score(IN_A_SECOND, state, POOL)[0] == 1.0
    assert CostScorer(ttft_headroom_ms=150.0).score(IN_A_SECOND, state, POOL)[0] == 0.25
    each = replace(REQUEST, tpot_target=0.012)
    assert CostScorer(tpot_headroom_ms=1.0).score(each, state, POOL) == pytest.approx([1.0, 0.75, 0.5, 0.0])
    # With 5 ms all miss it by the same.
    assert CostScorer(tpot_headroom_ms=5.0).score(each, state, POOL) == [1.0, 1.0, 1.0, 1.0]


def test_the_named_producers_are_read() -> None:
    scorer = CostScorer(expected_cost_producer_name="mine", predicted_latency_producer_name="theirs")
    assert scorer.reads == (EXPECTED_COSTS.of("mine"),)
    assert scorer.optional_reads == (LATENCY_PREDICTIONS.of("theirs"), SLO_TARGETS.of("theirs"))


@pytest.mark.parametrize(
    ("request_", "left", "expected"),
    [
        pytest.param(IN_A_SECOND, SloTargets(0.4), [0.25, 1.0, 5 / 6, 0.5], id="most of it is spent by waiting"),
        pytest.param(IN_A_SECOND, SloTargets(-9.0), [0.0, 1.0, 1.0, 1.0], id="it is missed already: the fastest"),
        pytest.param(REQUEST, SloTargets(0.4), [0.25, 1.0, 5 / 6, 0.5], id="a target that the producer sets"),
        pytest.param(IN_A_SECOND, SloTargets(), [1.0, 0.75, 0.5, 0.0], id="no target by the producer's word"),
    ],
)
def test_what_is_left_of_a_target_counts(request_: InferenceRequest, left: SloTargets, expected: list[float]) -> None:
    state = state_with([1.0, 2.0, 3.0, 5.0], [0.9, 0.3, 0.3, 0.3])
    state.write(SLO_TARGETS.of(""), left)
    assert CostScorer().score(request_, state, POOL) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("prediction", "ratio"),
    [
        pytest.param(LatencyPrediction(0.8, 0.01), 1.0, id="the headroom counts"),
        pytest.param(LatencyPrediction(0.0, 0.19), 2.0, id="the worse of both"),
    ],
)
def test_the_overshoot_is_by_the_target_that_is_missed_most(prediction: LatencyPrediction, ratio: float) -> None:
    assert overshoot(SloTargets(1.0, 0.1), prediction, 0.2, 0.01) == pytest.approx(ratio)
    assert overshoot(SloTargets(), prediction, 0.2, 0.01) == 0.0


@pytest.mark.parametrize("headroom", [-1.0, math.nan, math.inf])
def test_a_headroom_out_of_range_is_refused(headroom: float) -> None:
    with pytest.raises(ValueError, match="ttft_headroom_ms must be at least 0 and finite"):
        CostScorer(ttft_headroom_ms=headroom)
    with pytest.raises(ValueError, match="tpot_headroom_ms must be at least 0 and finite"):
        CostScorer(tpot_headroom_ms=headroom)


values = st.lists(st.none() | st.floats(0.0, 1e15), min_size=4, max_size=4)
times = st.lists(st.none() | st.floats(min_value=0.0), min_size=4, max_size=4)


@given(values, times)
def test_the_scorer_keeps_its_contract_and_misses_are_below(
    costs: list[float | None], ttfts: list[float | None]
) -> None:
    scores = check_scorer(CostScorer(), IN_A_SECOND, state_with(costs, ttfts), POOL)
    met = [score for score, ttft in zip(scores, ttfts, strict=True) if ttft is None or ttft <= 1.0]
    missed = [score for score, ttft in zip(scores, ttfts, strict=True) if not (ttft is None or ttft <= 1.0)]
    assert not met or not missed or min(met) > max(missed)
