from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.generated import endpoint_lists
from turnout.framework import Endpoint
from turnout.framework.testing import check_scorer, make_endpoint, make_request, make_state
from turnout.plugins.model_cache.keys import LOAD_SECONDS
from turnout.plugins.model_cache.scorer import ModelCacheScorer


def test_who_can_begin_at_once_scores_1_and_the_others_by_their_load_time() -> None:
    state = make_state()
    state.write(LOAD_SECONDS.of("mine"), {"default/b": 10.0, "default/c": 40.0})
    plugin = ModelCacheScorer(timedelta(seconds=10), "mine")
    assert plugin.score(make_request(), state, [make_endpoint(name) for name in "abc"]) == [1.0, 0.5, 0.2]


def test_without_data_all_score_1() -> None:
    assert ModelCacheScorer().score(make_request(), make_state(), [make_endpoint("a")]) == [1.0]


def test_the_parameter_is_checked() -> None:
    with pytest.raises(ValueError, match="half_score_load must be positive, got 0:00:00"):
        ModelCacheScorer(timedelta())


@given(endpoints=endpoint_lists(), seconds=st.floats(1e-9, 1e12))
def test_the_scorer_keeps_its_contract(endpoints: list[Endpoint], seconds: float) -> None:
    state = make_state()
    state.write(LOAD_SECONDS.of(""), {endpoints[0].name: seconds})
    check_scorer(ModelCacheScorer(), make_request(), state, endpoints)
