from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.generated import endpoint_lists
from plugins.latency.predictions import pool, predicted, states
from turnout.framework import Endpoint, EndpointMetrics
from turnout.framework.testing import check_scorer, make_endpoint, make_request, make_state
from turnout.plugins.latency.keys import LatencyPrediction, SloTargets
from turnout.plugins.latency.latency_scorer import LatencyScorer, Selection
from turnout.plugins.prefix_cache.keys import PREFIX_MATCHES, PrefixMatches

REQUEST = make_request()
BOTH = SloTargets(1.0, 0.1)


@pytest.mark.parametrize(
    ("selection", "times", "targets", "expected"),
    [
        pytest.param(
            "least", [(0.2, 0.05), (0.9, 0.05), (0.55, 0.05)], BOTH, [0.01, 1.0, 0.5], id="packing: the least headroom"
        ),
        pytest.param("most", [(0.2, 0.05), (0.9, 0.05), (0.55, 0.05)], BOTH, [1.0, 0.01, 0.5], id="spreading"),
        pytest.param(
            "least", [(0.2, 0.09), (0.9, 0.02)], BOTH, [0.2, 0.8], id="TTFT counts four times as much as TPOT"
        ),
        pytest.param(
            "most", [(0.2, 0.05), (3.0, 0.05), None], BOTH, [0.5, 0.0, 0.0], id="only those that meet the targets"
        ),
        pytest.param(
            "most", [(1.5, 0.2), (0.5, 0.2), (0.5, 0.3)], BOTH, [0.0, 1.0, 0.01], id="none does: TPOT alone is late"
        ),
        pytest.param("most", [(1.5, 0.2), (1.5, 0.05)], BOTH, [0.0, 0.5], id="or else TTFT alone"),
        pytest.param(
            "most", [(1.5, 0.3), (2.5, 0.2)], SloTargets(1.0, None), [1.0, 0.01], id="late ones by the least excess"
        ),
        pytest.param("most", [(1.5, 0.05), (0.5, 0.05)], SloTargets(), [0.01, 1.0], id="no targets: the fastest"),
        pytest.param("least", [(1.5, 0.05), (0.5, 0.05)], SloTargets(), [0.01, 1.0], id="whatever the strategy"),
    ],
)
def test_the_best_headroom_has_the_best_score(
    selection: Selection, times: list[tuple[float, float] | None], targets: SloTargets, expected: list[float]
) -> None:
    endpoints, found = pool(*times)
    scorer = LatencyScorer(headroom_selection_strategy=selection)
    assert scorer.score(REQUEST, predicted(found, targets), endpoints) == pytest.approx(expected, abs=0.011)


def test_where_all_are_late_an_idle_endpoint_gets_the_request() -> None:
    endpoints, found = pool((1.5, 0.05), (3.0, 0.05), in_flight=[4, 0])
    assert LatencyScorer().score(REQUEST, predicted(found, BOTH), endpoints)[0] == 0.0
    assert LatencyScorer().score(REQUEST, predicted(found, BOTH), endpoints)[1] > 0.0


def test_a_prediction_that_is_not_to_be_relied_on_decides_less() -> None:
    endpoints, found = pool((0.2, 0.05), (0.9, 0.05))
    doubtful = {name: each._replace(confidence=0.5) for name, each in found.items()}
    useless = {name: each._replace(confidence=0.0) for name, each in found.items()}
    scorer = LatencyScorer(headroom_selection_strategy="most")
    assert scorer.score(REQUEST, predicted(doubtful, BOTH), endpoints) == pytest.approx([0.75, 0.255])
    assert scorer.score(REQUEST, predicted(useless, BOTH), endpoints) == [0.5, 0.5]


def test_without_any_prediction_cache_queue_and_prefix_decide() -> None:
    endpoints = [
        make_endpoint("a", metrics=EndpointMetrics(kv_cache_utilization=0.75, waiting_queue_size=0)),
        make_endpoint("b", metrics=EndpointMetrics(kv_cache_utilization=0.25, waiting_queue_size=4)),
    ]
    state = make_state()
    state.write(PREFIX_MATCHES.of(""), PrefixMatches({"default/b": 3}, 4, 16))
    scorer = LatencyScorer(composite_kv_weight=2.0, composite_queue_weight=1.0, composite_prefix_weight=1.0)
    assert scorer.score(REQUEST, state, endpoints) == [0.5 * 0.25 + 0.25, 0.5 * 0.75 + 0.25 * 0.75]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        pytest.param({"ttft_weight": -1.0}, "ttft_weight and tpot_weight must be at least 0", id="negative"),
        pytest.param({"ttft_weight": 0.0, "tpot_weight": 0.0}, "not all 0, got 0, 0", id="nothing counts"),
        pytest.param({"composite_kv_weight": float("nan")}, "the composite weights must be", id="NaN"),
    ],
)
def test_weights_are_checked(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LatencyScorer(**wrong)  # type: ignore[arg-type]


@given(data=st.data(), endpoints=endpoint_lists(), selection=st.sampled_from(["least", "most"]))
def test_the_scorer_keeps_its_contract(data: st.DataObject, endpoints: list[Endpoint], selection: Selection) -> None:
    state = data.draw(states(endpoints))
    check_scorer(LatencyScorer(headroom_selection_strategy=selection), REQUEST, state, endpoints)


def test_endpoints_are_named_as_their_predictions() -> None:
    endpoints, _ = pool((1.0, 1.0))
    assert replace(endpoints[0], in_flight=0).name == "default/e0"
    assert LatencyPrediction(1.0, 1.0).confidence == 1.0
