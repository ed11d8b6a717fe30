from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.generated import endpoint_lists
from turnout.framework import CycleState, Endpoint
from turnout.framework.testing import check_filter, make_endpoint, make_request
from turnout.plugins.prefix_cache.keys import PREFIX_MATCHES, PrefixMatches
from turnout.plugins.sampling import SamplingFilter

POOL = [make_endpoint(f"e{number:02}") for number in range(20)]


def kept(plugin: SamplingFilter, state: CycleState | None = None) -> list[int]:
    found = plugin.filter(make_request(), state or CycleState(), POOL)
    places = [POOL.index(endpoint) for endpoint in found]
    assert places == sorted(set(places))
    return places


@pytest.mark.parametrize(
    ("plugin", "count"),
    [
        pytest.param(SamplingFilter(), 20, id="no bound"),
        pytest.param(SamplingFilter(5), 5, id="so many"),
        pytest.param(SamplingFilter(50), 20, id="more than there are"),
        pytest.param(SamplingFilter(percentage_of_endpoints_to_score=24.0), 5, id="a share, rounded up"),
        pytest.param(SamplingFilter(percentage_of_endpoints_to_score=55.0), 11, id="a share that is whole"),
        pytest.param(SamplingFilter(5, 10.0), 2, id="the smaller bound"),
        pytest.param(SamplingFilter(5, 50.0), 5, id="the smaller bound again"),
        pytest.param(SamplingFilter(5, 1.0, 7), 7, id="at least"),
        pytest.param(SamplingFilter(min_endpoints_to_score=99), 20, id="at least more than there are"),
    ],
)
def test_so_many_are_kept(plugin: SamplingFilter, count: int) -> None:
    assert len(kept(plugin)) == count


def test_every_endpoint_and_every_two_have_the_same_chance() -> None:
    plugin = SamplingFilter(4, seed=1)
    alone: Counter[int] = Counter()
    together: Counter[tuple[int, int]] = Counter()
    for _ in range(9_500):
        places = kept(plugin)
        alone.update(places)
        together.update((a, b) for a in places for b in places if a < b)
    # Means of 1,900 and 300; five standard deviations (39 and 17) for the fixed seed.
    assert all(1_705 < alone[place] < 2_095 for place in range(20))
    assert all(215 < together[(a, b)] < 385 for a in range(20) for b in range(a + 1, 20))


def test_a_seed_fixes_what_is_drawn() -> None:
    draws = [[kept(plugin) for _ in range(5)] for plugin in (SamplingFilter(4, seed=3), SamplingFilter(4, seed=3))]
    assert draws[0] == draws[1]
    assert len({tuple(places) for places in draws[0]}) == 5


def test_the_longest_matches_are_kept_beside_those_that_are_drawn() -> None:
    state = CycleState()
    blocks = {"default/e03": 1, "default/e07": 9, "default/e11": 5, "default/e13": 0}
    state.write(PREFIX_MATCHES.of(""), PrefixMatches(blocks, 10, 16))
    plugin = SamplingFilter(3, keep_longest_matches=2, seed=2)
    for _ in range(50):
        places = kept(plugin, state)
        assert {7, 11} <= set(places)
        assert 3 <= len(places) <= 5


def test_without_matches_the_drawn_ones_are_all() -> None:
    assert len(kept(SamplingFilter(3, keep_longest_matches=2))) == 3


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        pytest.param({"max_endpoints_to_score": 0}, "max_endpoints_to_score must be at least 1, got 0", id="none"),
        pytest.param({"percentage_of_endpoints_to_score": 0.0}, r"must be within \(0, 100\], got 0", id="0 %"),
        pytest.param({"percentage_of_endpoints_to_score": 101.0}, r"within \(0, 100\], got 101", id="101 %"),
        pytest.param({"min_endpoints_to_score": 0}, "min_endpoints_to_score must be at least 1, got 0", id="no least"),
        pytest.param({"keep_longest_matches": -1}, "keep_longest_matches must be at least 0, got -1", id="fewer"),
    ],
)
def test_numbers_out_of_range_are_refused(arguments: dict[str, float], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        SamplingFilter(**arguments)  # type: ignore[arg-type]


@given(endpoint_lists(), st.integers(1, 8), st.floats(0.1, 100.0))
def test_it_is_a_filter(pool: list[Endpoint], most: int, share: float) -> None:
    check_filter(SamplingFilter(most, share), make_request(), CycleState(), pool)
