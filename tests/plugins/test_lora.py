import pytest
from hypothesis import given

from plugins.generated import endpoint_lists
from turnout.framework import Endpoint, EndpointMetrics
from turnout.framework.testing import check_scorer, make_endpoint, make_request, make_state
from turnout.plugins.lora import LoraAffinityScorer


@pytest.mark.parametrize(
    ("active", "waiting", "places", "expected"),
    [
        pytest.param({"x"}, set(), 1, 1.0, id="active, and the endpoint is full"),
        pytest.param({"x"}, {"x"}, 1, 1.0, id="active and named as waiting too"),
        pytest.param({"y"}, set(), 2, 0.8, id="one more fits"),
        pytest.param(set(), {"x"}, 2, 0.8, id="waiting, and it fits"),
        pytest.param({"y"}, {"y"}, 2, 0.8, id="another adapter in both lists takes one place only"),
        pytest.param({"y"}, {"x"}, 2, 0.6, id="waiting for a full endpoint"),
        pytest.param({"y"}, {"x", "y"}, 2, 0.6, id="waiting for a full endpoint that names adapters twice"),
        pytest.param({"y", "z"}, set(), 2, 0.0, id="full of others"),
        pytest.param(set(), set(), 0, 0.0, id="serves no adapters"),
    ],
)
def test_the_adapter_s_place_is_the_score(active: set[str], waiting: set[str], places: int, expected: float) -> None:
    metrics = EndpointMetrics(
        active_adapters=frozenset(active), waiting_adapters=frozenset(waiting), max_active_adapters=places
    )
    scores = LoraAffinityScorer().score(make_request(model="x"), make_state(), [make_endpoint(metrics=metrics)])
    assert scores == [expected]


@given(endpoints=endpoint_lists())
def test_the_scorer_keeps_its_contract(endpoints: list[Endpoint]) -> None:
    check_scorer(LoraAffinityScorer(), make_request(), make_state(), endpoints)
