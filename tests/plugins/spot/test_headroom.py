from dataclasses import replace
from typing import Any

import pytest

from turnout.framework.testing import make_endpoint, make_request, make_state
from turnout.plugins.latency.keys import LATENCY_PREDICTIONS, SLO_TARGETS, LatencyPrediction, SloTargets
from turnout.plugins.spot.headroom import Headroom
from turnout.plugins.spot.spot_filter import SpotFilter
from turnout.plugins.spot.spot_scorer import SpotScorer

TTFT = {"ttft_target": 2.0}


@pytest.mark.parametrize(
    ("headroom", "request_has", "predicted", "is_there"),
    [
        pytest.param(Headroom(), TTFT, None, True, id="nothing is asked for"),
        pytest.param(Headroom(max_waiting_requests=3), {}, None, True, id="few enough wait"),
        pytest.param(Headroom(max_waiting_requests=2), {}, None, False, id="too many wait"),
        pytest.param(Headroom(max_kv_cache_utilization=0.5), {}, None, True, id="room in the cache"),
        pytest.param(Headroom(max_kv_cache_utilization=0.4), {}, None, False, id="no room in the cache"),
        pytest.param(
            Headroom(min_ttft_headroom_ms=500.0), TTFT, (1.5, 0.1), True, id="half a second before the target"
        ),
        pytest.param(Headroom(min_ttft_headroom_ms=501.0), TTFT, (1.5, 0.1), False, id="a millisecond too late"),
        pytest.param(Headroom(min_ttft_headroom_ms=0.0), TTFT, None, False, id="a target and no prediction"),
        pytest.param(Headroom(min_ttft_headroom_ms=0.0), {}, None, True, id="no target"),
        pytest.param(Headroom(min_tpot_headroom_ms=10.0), {"tpot_target": 0.1}, (1.5, 0.095), False, id="slow tokens"),
    ],
)
def test_headroom_is_what_is_left(
    headroom: Headroom, request_has: dict[str, Any], predicted: tuple[float, float] | None, is_there: bool
) -> None:
    state = make_state()
    if predicted is not None:
        state.write(LATENCY_PREDICTIONS.of(""), {"default/a": LatencyPrediction(*predicted)})
    endpoint = make_endpoint("a", waiting=3, kv_cache_utilization=0.5)
    assert headroom.is_there(replace(make_request(), **request_has), state, endpoint) is is_there


def test_what_the_request_has_waited_is_taken_off_its_target() -> None:
    state = make_state()
    state.write(LATENCY_PREDICTIONS.of(""), {"default/a": LatencyPrediction(1.5, 0.1)})
    state.write(SLO_TARGETS.of(""), SloTargets(ttft_seconds=1.0))
    request = replace(make_request(), ttft_target=2.0)
    assert not Headroom(min_ttft_headroom_ms=100.0).is_there(request, state, make_endpoint("a"))
    assert tuple(Headroom(min_ttft_headroom_ms=100.0).keys) == (LATENCY_PREDICTIONS.of(""), SLO_TARGETS.of(""))
    assert tuple(Headroom(max_waiting_requests=1).keys) == ()


def test_it_is_known_what_is_asked_for() -> None:
    asked = [Headroom(), Headroom(max_waiting_requests=0), Headroom(min_tpot_headroom_ms=0.0)]
    assert [(each.asks, each.predicts) for each in asked] == [(False, False), (True, False), (True, True)]


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        pytest.param(
            {"max_waiting_requests": -1}, "max_waiting_requests must be at least 0, got -1", id="less than none"
        ),
        pytest.param({"max_kv_cache_utilization": 1.1}, "must be from 0 to 1, got 1.1", id="more than full"),
        pytest.param({"min_ttft_headroom_ms": -5.0}, "min_ttft_headroom_ms must be at least 0", id="late is fine"),
        pytest.param({"min_tpot_headroom_ms": float("nan")}, "min_tpot_headroom_ms must be at least 0", id="no number"),
    ],
)
def test_bounds_out_of_range_are_refused(parameters: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Headroom(**parameters)


@pytest.mark.parametrize("plugin", [SpotFilter, SpotScorer])
def test_predictions_are_made_where_headroom_is_asked_of_them(plugin: type[SpotFilter | SpotScorer]) -> None:
    asking = plugin(headroom=Headroom(min_ttft_headroom_ms=50.0, latency_producer_name="mine"))
    assert set(asking.reads) == {LATENCY_PREDICTIONS.of("mine"), SLO_TARGETS.of("mine")}
    assert plugin(headroom=Headroom(max_waiting_requests=2)).reads == ()
