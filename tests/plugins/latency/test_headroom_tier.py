import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.generated import endpoint_lists
from plugins.latency.predictions import pool, predicted, states
from turnout.framework.testing import check_filter, make_request
from turnout.plugins.latency.headroom_tier import SloHeadroomTierFilter
from turnout.plugins.latency.keys import SloTargets

REQUEST = make_request()


@pytest.mark.parametrize(
    ("times", "kept"),
    [
        pytest.param([(0.5, 0.01), (2.0, 0.01), (0.5, 0.2), None], ["e0"], id="those that meet both targets"),
        pytest.param([(2.0, 0.01), (3.0, 0.01)], ["e0", "e1"], id="none does: all"),
        pytest.param([(0.5, 0.01), (0.6, 0.01)], ["e0", "e1"], id="all do: all"),
        pytest.param([None, None], ["e0", "e1"], id="nothing is predicted: all"),
    ],
)
def test_endpoints_that_meet_the_targets_are_kept(times: list[tuple[float, float] | None], kept: list[str]) -> None:
    endpoints, found = pool(*times)
    state = predicted(found, SloTargets(1.0, 0.05))
    found_ones = SloHeadroomTierFilter(epsilon_explore_neg=0.0).filter(REQUEST, state, endpoints)
    assert [endpoint.name.removeprefix("default/") for endpoint in found_ones] == kept


def test_some_requests_go_to_the_others_so_that_they_get_known() -> None:
    endpoints, found = pool((0.5, 0.01), (2.0, 0.01))
    state = predicted(found, SloTargets(1.0, None))
    plugin = SloHeadroomTierFilter(epsilon_explore_neg=0.1, seed=3)
    explored = sum(plugin.filter(REQUEST, state, endpoints) == [endpoints[1]] for _ in range(1000))
    assert explored == pytest.approx(100, abs=30)


def test_a_chance_is_within_0_and_1() -> None:
    with pytest.raises(ValueError, match=r"epsilon_explore_neg must be within \[0, 1\], got 1.5"):
        SloHeadroomTierFilter(epsilon_explore_neg=1.5)


@given(data=st.data(), endpoints=endpoint_lists())
def test_the_filter_keeps_its_contract(data: st.DataObject, endpoints: list) -> None:  # type: ignore[type-arg]
    check_filter(SloHeadroomTierFilter(seed=1), REQUEST, data.draw(states(endpoints)), endpoints)
