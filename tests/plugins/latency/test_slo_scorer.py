import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.generated import endpoint_lists
from plugins.latency.predictions import pool, predicted, states
from turnout.framework import Endpoint
from turnout.framework.testing import check_scorer, make_request
from turnout.plugins.latency.keys import SloTargets
from turnout.plugins.latency.slo_scorer import Placement, SloScorer

REQUEST = make_request()


def test_spreading_scores_the_chance_and_how_empty_the_endpoint_is() -> None:
    endpoints, found = pool((0.1, 0.01), (0.1, 0.01), (1.0, 0.01), (4.0, 0.01), in_flight=[10, 5, 0, 0])
    scores = SloScorer().score(REQUEST, predicted(found, SloTargets(1.0, None)), endpoints)
    assert scores == pytest.approx([0.5, 0.5 + 0.25, 0.25 + 0.5, 0.5], abs=0.001)


def test_without_weight_for_the_load_the_chance_is_the_score() -> None:
    endpoints, found = pool((1.0, 0.01), (0.1, 0.01), in_flight=[0, 9])
    scores = SloScorer(load_weight=0.0).score(REQUEST, predicted(found, SloTargets(1.0, None)), endpoints)
    assert scores == pytest.approx([0.5, 1.0], abs=0.001)


def test_packing_fills_the_fullest_endpoint_that_meets_the_targets() -> None:
    endpoints, found = pool((0.2, 0.01), (0.5, 0.01), (0.6, 0.01), (1.0, 0.01), in_flight=[0, 5, 10, 50])
    scores = SloScorer(placement="pack").score(REQUEST, predicted(found, SloTargets(1.0, None)), endpoints)
    assert scores == pytest.approx([0.5, 0.55, 0.6, 0.5 * 0.5 / 0.9], abs=0.001)


def test_without_targets_the_score_is_the_expected_time() -> None:
    endpoints, found = pool((1.0, 0.01), (1.0, 0.03), None)
    scores = SloScorer(tokens=100).score(REQUEST, predicted(found), endpoints)
    assert scores == pytest.approx([1.0, 0.5, 0.75]), "an endpoint without a prediction has the mean"


def test_predictions_that_are_not_to_be_relied_on_decide_less() -> None:
    endpoints, found = pool((0.1, 0.01), (4.0, 0.01))
    doubtful = {name: each._replace(confidence=0.5) for name, each in found.items()}
    targets = SloTargets(1.0, None)
    sure = SloScorer().score(REQUEST, predicted(found, targets), endpoints)
    less = SloScorer().score(REQUEST, predicted(doubtful, targets), endpoints)
    assert less[0] - less[1] == pytest.approx((sure[0] - sure[1]) / 2)


def test_nothing_predicted_is_no_difference() -> None:
    endpoints, _ = pool(None, None)
    assert SloScorer().score(REQUEST, predicted({}, SloTargets(1.0, None)), endpoints) == [1.0, 1.0]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        pytest.param({"sufficient_probability": 1.0}, "sufficient_probability must be above 0 and below 1", id="1"),
        pytest.param({"load_weight": 1.1}, r"load_weight must be within \[0, 1\], got 1.1", id="more than all"),
        pytest.param({"tokens": -1}, "tokens must be at least 0, got -1", id="negative"),
    ],
)
def test_parameters_are_checked(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SloScorer(**wrong)  # type: ignore[arg-type]


@given(data=st.data(), endpoints=endpoint_lists(), placement=st.sampled_from(["spread", "pack"]))
def test_the_scorer_keeps_its_contract(data: st.DataObject, endpoints: list[Endpoint], placement: Placement) -> None:
    check_scorer(SloScorer(placement=placement), REQUEST, data.draw(states(endpoints)), endpoints)
