import math
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.framework import Endpoint, EndpointMetrics
from turnout.framework.testing import make_endpoint
from turnout.plugins.autoscaling.needs import LagTarget, most_needed, replicas_for_arrivals, replicas_for_queue

TARGET = LagTarget("lag", rate_per_replica=10.0, drain=timedelta(seconds=60))


def reporting(value: float, at: float = 0.0, name: str = "a") -> Endpoint:
    return make_endpoint(name, metrics=EndpointMetrics(custom={"lag": value}, observed_at={"custom.lag": at}))


@pytest.mark.parametrize(
    ("queued", "rate", "target", "expected"),
    [
        pytest.param(30_000.0, 10_000.0, 1.0, 3.0, id="three seconds of work, in one"),
        pytest.param(30_000.0, 10_000.0, 2.0, 1.5, id="in two"),
        pytest.param(0.0, 10_000.0, 1.0, 0.0, id="nothing is queued"),
        pytest.param(1.0, 0.0, 1.0, None, id="nobody computes"),
        pytest.param(1.0, math.nan, 1.0, None, id="a rate that is no number"),
        pytest.param(1.0, -5.0, 1.0, None, id="a negative rate"),
        pytest.param(1.0, math.inf, 1.0, None, id="an endless rate"),
        pytest.param(math.nan, 1.0, 1.0, None, id="a queue that is no number"),
        pytest.param(-1.0, 1.0, 1.0, None, id="a negative queue"),
    ],
)
def test_replicas_for_a_queue(queued: float, rate: float, target: float, expected: float | None) -> None:
    assert replicas_for_queue(queued, rate, target) == expected


def test_replicas_for_what_comes() -> None:
    assert replicas_for_arrivals(16_000.0, 10_000.0, 0.8) == 2.0


def test_the_most_is_not_known_if_one_is_not() -> None:
    assert (most_needed(1.0, 3.0), most_needed(1.0, None), most_needed()) == (3.0, None, None)


@pytest.mark.parametrize(
    ("endpoints", "combine", "lag"),
    [
        pytest.param([reporting(600.0), reporting(500.0, name="b")], "max", 600.0, id="each reports the whole queue"),
        pytest.param([reporting(600.0), reporting(500.0, name="b")], "sum", 1_100.0, id="each reports its part"),
        pytest.param([reporting(600.0, at=-61.0), reporting(5.0, name="b")], "max", 5.0, id="one is stale"),
        pytest.param([reporting(math.nan), reporting(-3.0, name="b")], "sum", None, id="none makes sense"),
        pytest.param([make_endpoint("a")], "sum", None, id="none reports it"),
        pytest.param([], "sum", None, id="nobody is there"),
    ],
)
def test_the_lag_is_what_the_endpoints_report(endpoints: list[Endpoint], combine: str, lag: float | None) -> None:
    target = replace(TARGET, combine=combine)  # type: ignore[arg-type]
    assert target.lag(endpoints, now=0.0) == lag


def test_replicas_for_a_lag() -> None:
    assert [TARGET.replicas(lag) for lag in (0.0, 600.0, 900.0, None)] == [0.0, 1.0, 1.5, None]


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        pytest.param({"metric": ""}, "metric must not be empty", id="no metric"),
        pytest.param({"rate_per_replica": 0.0}, "rate_per_replica must be positive and finite, got 0.0", id="no rate"),
        pytest.param({"rate_per_replica": math.nan}, "rate_per_replica must be positive", id="no number"),
        pytest.param({"drain": timedelta()}, "drain must be positive", id="no time"),
        pytest.param({"stale_after": timedelta(-1)}, "stale_after must be positive", id="a negative time"),
    ],
)
def test_parameters_are_checked(parameters: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        replace(TARGET, **parameters)  # type: ignore[arg-type]


@given(st.lists(st.floats(allow_nan=True), max_size=6), st.sampled_from(["max", "sum"]))
def test_whatever_endpoints_report_the_need_is_a_number_of_at_least_0_or_not_known(
    values: list[float], combine: str
) -> None:
    target = replace(TARGET, combine=combine)  # type: ignore[arg-type]
    needed = target.replicas(target.lag([reporting(value, name=str(at)) for at, value in enumerate(values)], 0.0))
    assert needed is None or 0.0 <= needed < math.inf
