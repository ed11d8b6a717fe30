from datetime import timedelta
from typing import Any

import pytest

from plugins.sla.requests import a_request
from turnout.framework import InferenceRequest
from turnout.plugins.sla.targets import LoadFactor, SlaTarget

HALF_A_SECOND = timedelta(milliseconds=500)


def target(**parameters: Any) -> SlaTarget:
    return SlaTarget(**{"name": "t", "metric": "ttft", "percentile": 99.0, "target": HALF_A_SECOND, **parameters})


@pytest.mark.parametrize(
    ("load", "factor"),
    [
        pytest.param(0.0, 1.0, id="an idle pool"),
        pytest.param(0.5, 1.0, id="where relaxing begins"),
        pytest.param(0.75, 1.5, id="half way"),
        pytest.param(1.0, 2.0, id="where it ends"),
        pytest.param(7.0, 2.0, id="an overloaded pool"),
        pytest.param(float("inf"), 2.0, id="more than any pool"),
        pytest.param(-1.0, 1.0, id="less than nothing"),
    ],
)
def test_the_factor_goes_with_the_load(load: float, factor: float) -> None:
    assert LoadFactor(0.5, 1.0, 1.0, 2.0).at(load) == factor


def test_a_target_is_tightened_where_the_factor_is_below_one() -> None:
    tightened = target(relax_with_load=LoadFactor(0.5, 1.0, min_factor=0.5, max_factor=1.0))
    assert [tightened.seconds_at(load) for load in (0.0, 0.75, 1.0)] == [0.25, 0.375, 0.5]


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        pytest.param({"from_": 1.0, "to": 1.0}, "from_ must be at least 0 and below to, got 1.0 and 1.0", id="empty"),
        pytest.param({"from_": -0.1}, "from_ must be at least 0 and below to, got -0.1 and 1.0", id="negative load"),
        pytest.param({"to": float("inf")}, "from_ must be at least 0 and below to", id="infinite load"),
        pytest.param({"from_": float("nan")}, "from_ must be at least 0 and below to", id="no number"),
        pytest.param({"min_factor": 0.0}, "min_factor must be above 0 and at most max_factor", id="no target left"),
        pytest.param({"max_factor": 0.5}, "min_factor must be above 0 and at most max_factor", id="out of order"),
        pytest.param({"max_factor": float("inf")}, "min_factor must be above 0 and at most max_factor", id="no limit"),
    ],
)
def test_loads_and_factors_have_ranges(parameters: dict[str, float], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        LoadFactor(**parameters)


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        pytest.param({"name": ""}, "name must have 1 to 100 characters, got 0", id="no name"),
        pytest.param({"name": "x" * 101}, "name must have 1 to 100 characters, got 101", id="long name"),
        pytest.param({"percentile": 0.0}, "percentile must be above 0 and at most 99.999, got 0.0", id="no request"),
        pytest.param({"percentile": 100.0}, "percentile must be above 0 and at most 99.999, got 100.0", id="no budget"),
        pytest.param(
            {"percentile": float("nan")}, "percentile must be above 0 and at most 99.999, got nan", id="no number"
        ),
        pytest.param({"window": timedelta(seconds=11)}, "window must be from 12 s to a day", id="short window"),
        pytest.param({"window": timedelta(days=2)}, "window must be from 12 s to a day", id="long window"),
        pytest.param({"target": timedelta(0)}, "target must be above 0", id="no time"),
        pytest.param({"target": None}, "target must be given unless from_request is true", id="no target"),
        pytest.param(
            {"metric": "e2e", "from_request": True}, "from_request must be false for e2e", id="no such target"
        ),
        pytest.param(
            {"target": None, "from_request": True, "relax_with_load": LoadFactor()},
            "relax_with_load must be left out without a target",
            id="nothing to relax",
        ),
    ],
)
def test_parameters_out_of_range_are_refused(parameters: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        target(**parameters)


@pytest.mark.parametrize(
    ("parameters", "request_", "covers"),
    [
        pytest.param({}, a_request(), True, id="any request"),
        pytest.param({"level": "gold"}, a_request(level="gold"), True, id="of the level"),
        pytest.param({"level": "gold"}, a_request(level="silver"), False, id="of another level"),
        pytest.param({"level": "gold"}, a_request(), False, id="of no level"),
        pytest.param({"objective": "chat"}, a_request(objective="chat"), True, id="of the objective"),
        pytest.param({"objective": "chat"}, a_request(objective="x"), False, id="of another objective"),
        pytest.param({"model": "m"}, a_request(), True, id="of the model that the client asked for"),
        pytest.param({"model": "served"}, a_request(), False, id="of another model, however it is served"),
        pytest.param({"level": "gold", "model": "m"}, a_request(level="gold"), True, id="of both"),
        pytest.param({"level": "gold", "model": "x"}, a_request(level="gold"), False, id="of one of two"),
        pytest.param({"streamed_only": True}, a_request(stream=False), False, id="not streamed, but asked for"),
        pytest.param({"metric": "tpot"}, a_request(stream=False), False, id="without times between tokens"),
        pytest.param({"metric": "e2e"}, a_request(stream=False), True, id="not streamed"),
    ],
)
def test_a_target_is_about_the_requests_that_it_selects(
    parameters: dict[str, Any], request_: InferenceRequest, *, covers: bool
) -> None:
    assert target(**parameters).covers(request_) is covers


@pytest.mark.parametrize(
    ("percentile", "budget"), [(50.0, 0.5), (90.0, 0.1), (99.0, 0.01), (99.9, 0.001), (99.999, 1e-5)]
)
def test_the_budget_is_exactly_what_is_left(percentile: float, budget: float) -> None:
    assert target(percentile=percentile).budget == budget


def test_what_is_selected_is_told() -> None:
    assert target(level="gold", model="m").selects == {"level": "gold", "model": "m"}
    assert target().selects == {}


OWN = {"from_request": True}
ONLY_OWN: dict[str, Any] = {"from_request": True, "target": None}
TPOT = {"metric": "tpot"}
RELAXED = {"relax_with_load": LoadFactor(0.0, 1.0, 1.0, 2.0)}


@pytest.mark.parametrize(
    ("parameters", "request_", "seconds"),
    [
        pytest.param({}, a_request(ttft=0.1), 0.5, id="a target of its own that nobody asked for"),
        pytest.param(OWN, a_request(ttft=0.1, tpot=0.2), 0.1, id="its own TTFT"),
        pytest.param(OWN | TPOT, a_request(ttft=0.1, tpot=0.2), 0.2, id="its own TPOT"),
        pytest.param(OWN, a_request(), 0.5, id="none of its own"),
        pytest.param(ONLY_OWN, a_request(), None, id="none at all"),
        pytest.param(ONLY_OWN, a_request(ttft=2.0), 2.0, id="only its own"),
        pytest.param(OWN, a_request(ttft=float("nan")), 0.5, id="no number"),
        pytest.param(OWN, a_request(ttft=-1.0), 0.5, id="negative"),
        pytest.param(OWN, a_request(ttft=float("inf")), 0.5, id="infinite"),
        pytest.param(RELAXED, a_request(), 1.0, id="relaxed"),
        pytest.param(OWN | RELAXED, a_request(ttft=0.1), 0.1, id="its own is not relaxed"),
    ],
)
def test_what_is_promised_of_a_request_in_a_full_pool(
    parameters: dict[str, Any], request_: InferenceRequest, seconds: float | None
) -> None:
    assert target(**parameters).seconds_for(request_, load=1.0) == seconds
