from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.framework import CycleState, Endpoint, GaugeReading, WallClock
from turnout.framework.testing import check_filter, make_endpoint, make_request, make_state
from turnout.plugins.latency.keys import LATENCY_PREDICTIONS, LatencyPrediction
from turnout.plugins.spot.drain_filter import DrainFilter

UNIX = 1_700_000_000.0
CLOCK = WallClock(UNIX)


def draining(name: str, at: str) -> Endpoint:
    return make_endpoint(name, labels={"turnout/drain-at": at})


def predicting(state: CycleState, **seconds: float) -> CycleState:
    """A TTFT of 1 s, and this TPOT, by endpoint."""
    state.write(
        LATENCY_PREDICTIONS.of(""), {f"default/{name}": LatencyPrediction(1.0, tpot) for name, tpot in seconds.items()}
    )
    return state


def kept(plugin: DrainFilter, state: CycleState, *endpoints: Endpoint, **more: Any) -> list[str]:
    request = replace(make_request(), **more)
    return [endpoint.name.removeprefix("default/") for endpoint in check_filter(plugin, request, state, endpoints)]


def test_an_endpoint_with_a_notice_gets_nothing_though_its_time_has_not_come() -> None:
    assert kept(DrainFilter(CLOCK), make_state(), draining("a", str(UNIX + 3600)), make_endpoint("b")) == ["b"]


def test_a_request_that_ends_in_time_may_still_go() -> None:
    plugin = DrainFilter(CLOCK, expected_output_tokens=100)
    endpoints = (draining("a", str(UNIX + 12)), draining("b", str(UNIX + 12)), make_endpoint("c"))
    # 2 * (1 s + 100 tokens of 40 ms) are 10 s, of 60 ms 14 s.
    state = predicting(make_state(), a=0.04, b=0.06, c=9.0)
    assert kept(plugin, state, *endpoints) == ["a", "c"]
    assert kept(plugin, state, *endpoints, max_output_tokens=50) == ["a", "b", "c"]
    state.now = 3.0
    assert kept(plugin, state, *endpoints) == ["c"]


def test_a_prediction_that_is_not_to_be_relied_on_is_none() -> None:
    state = make_state()
    for confidence, expected in ((0.5, ["a", "b"]), (0.4, ["b"])):
        state.write(LATENCY_PREDICTIONS.of(""), {"default/a": LatencyPrediction(0.1, 0.0, confidence=confidence)})
        assert kept(DrainFilter(CLOCK), state, draining("a", str(UNIX + 60)), make_endpoint("b")) == expected


@pytest.mark.parametrize(
    ("parameters", "at", "now"),
    [
        pytest.param({}, UNIX, 0.0, id="in the moment of its time"),
        pytest.param({}, UNIX + 10, 20.0, id="after its time"),
        pytest.param({"allow_short_requests": False}, UNIX + 1e6, 0.0, id="short requests are not allowed"),
    ],
)
def test_no_prediction_is_good_enough(parameters: dict[str, Any], at: float, now: float) -> None:
    state = predicting(make_state(now=now), a=0.0)
    assert kept(DrainFilter(CLOCK, **parameters), state, draining("a", str(at)), make_endpoint("b")) == ["b"]


def test_where_every_candidate_drains_nothing_is_left() -> None:
    assert kept(DrainFilter(CLOCK), make_state(), draining("a", "now"), draining("b", "soon")) == []


@given(
    notices=st.lists(st.none() | st.floats(0.0, 100.0), min_size=1, max_size=6),
    now=st.floats(0.0, 100.0),
    tpots=st.lists(st.none() | st.floats(0.0, 1.0), min_size=6, max_size=6),
)
def test_what_is_kept_ends_before_its_endpoint_drains(
    notices: list[float | None], now: float, tpots: list[float | None]
) -> None:
    plugin = DrainFilter(CLOCK, expected_output_tokens=10, safety_factor=1.0)
    endpoints = [
        make_endpoint(f"e{place}") if at is None else draining(f"e{place}", f"{UNIX + at:.6f}")
        for place, at in enumerate(notices)
    ]
    known = {f"e{place}": tpot for place, tpot in enumerate(tpots) if tpot is not None}
    for name in kept(plugin, predicting(make_state(now=now), **known), *endpoints):
        at = notices[int(name[1:])]
        assert at is None or now + 1.0 + 10 * known[name] < at + 1e-6


def test_notices_are_shown_and_those_that_say_nothing_are_found() -> None:
    plugin = DrainFilter(CLOCK)
    endpoints = [draining("a", str(UNIX + 90)), draining("b", "soon"), make_endpoint("c")]
    plugin.endpoints_changed(endpoints)
    diagnosis = plugin.diagnose(endpoints, 30.0)
    assert diagnosis.figures == {"default/a": {"drains_in_seconds": 60.0}, "default/b": {"drains_in_seconds": 0.0}}
    assert [(finding.cause, finding.endpoint) for finding in diagnosis.findings] == [("unreadable-notice", "default/b")]
    kept(plugin, make_state(), *endpoints)
    notices, away = plugin.readings()
    assert notices == GaugeReading("drain_notices", "Endpoints with a drain notice.", 2)
    assert (away.name, getattr(away, "value", None)) == ("drain_kept_away_total", 1)


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        pytest.param({"drain_label": ""}, "drain_label must not be empty, got ''", id="no label"),
        pytest.param({"safety_factor": 0.5}, "safety_factor must be at least 1 and finite, got 0.5", id="too hopeful"),
        pytest.param({"safety_factor": float("nan")}, "safety_factor must be at least 1", id="not a number"),
        pytest.param({"expected_output_tokens": 0}, "expected_output_tokens must be at least 1, got 0", id="no answer"),
    ],
)
def test_parameters_out_of_range_are_refused(parameters: Mapping[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        DrainFilter(CLOCK, **parameters)
