from hypothesis import given

from plugins.generated import endpoint_lists
from turnout.framework import Endpoint
from turnout.framework.testing import check_scorer, make_endpoint, make_request, make_state
from turnout.plugins.kv_cache import KVCacheUtilizationScorer


def test_the_free_fraction_of_the_cache_is_the_score() -> None:
    endpoints = [make_endpoint(str(used), kv_cache_utilization=used) for used in (0.0, 0.25, 1.0)]
    assert KVCacheUtilizationScorer().score(make_request(), make_state(), endpoints) == [1.0, 0.75, 0.0]


@given(endpoints=endpoint_lists())
def test_the_scorer_keeps_its_contract(endpoints: list[Endpoint]) -> None:
    check_scorer(KVCacheUtilizationScorer(), make_request(), make_state(), endpoints)
