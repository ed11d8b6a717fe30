from datetime import timedelta
from typing import Any

import pytest

from turnout.framework import Endpoint
from turnout.framework.testing import check_scorer, make_endpoint, make_request, make_state
from turnout.plugins.spot.headroom import Headroom
from turnout.plugins.spot.spot_scorer import SpotScorer

STEADY = make_endpoint("steady")


def spot(name: str, kind: str = "g5", waiting: int = 0) -> Endpoint:
    labels = {"cloud.google.com/gke-spot": "true", "node.kubernetes.io/instance-type": kind}
    return make_endpoint(name, labels=labels, waiting=waiting)


def test_spot_endpoints_are_preferred_until_their_kind_is_interrupted() -> None:
    plugin = SpotScorer()
    plugin.endpoints_changed([STEADY, spot("a"), spot("b"), spot("c", "p4")])
    endpoints = [STEADY, spot("c", "p4"), spot("d")]
    assert check_scorer(plugin, make_request(), make_state(), endpoints) == [0.5, 1.0, 1.0]
    plugin.endpoints_changed([STEADY, spot("c", "p4")])
    assert check_scorer(plugin, make_request(), make_state(now=1.0), endpoints) == [0.5, 1.0, 1 / 3]
    assert check_scorer(plugin, make_request(), make_state(now=602.0), endpoints) == [0.5, 1.0, 1.0]


def test_a_spot_endpoint_without_headroom_or_with_a_notice_scores_nothing() -> None:
    plugin = SpotScorer(headroom=Headroom(max_waiting_requests=1), on_demand_score=0.25)
    endpoints = [
        spot("a", waiting=2),
        make_endpoint("b", labels={"turnout/capacity-type": "spot", "turnout/drain-at": "2e9"}),
        spot("c"),
        STEADY,
    ]
    assert check_scorer(plugin, make_request(), make_state(), endpoints) == [0.0, 0.0, 1.0, 0.25]


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        pytest.param({"on_demand_score": 2.0}, "on_demand_score must be from 0 to 1, got 2.0", id="no score"),
        pytest.param({"interruption_window": timedelta(0)}, "interruption_window must be above 0", id="no window"),
    ],
)
def test_parameters_out_of_range_are_refused(parameters: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        SpotScorer(**parameters)
