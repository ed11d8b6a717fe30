import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.generated import endpoint_lists
from turnout.framework import CycleState, Endpoint
from turnout.framework.testing import check_scorer, make_endpoint, make_request, make_state
from turnout.plugins.prefix_cache.keys import PREFIX_MATCHES, PrefixMatches
from turnout.plugins.prefix_cache.scorer import PrefixCacheScorer

POOL = [make_endpoint("a"), make_endpoint("b"), make_endpoint("c")]


def state_with(matches: PrefixMatches, producer: str = "") -> CycleState:
    state = make_state()
    state.write(PREFIX_MATCHES.of(producer), matches)
    return state


# Blocks of 64 tokens: 64 of them are 4096 tokens, 128 are the default scale of 8192.
@pytest.mark.parametrize(
    ("scorer", "matches", "expected"),
    [
        pytest.param(
            PrefixCacheScorer(),
            PrefixMatches({"default/a": 64, "default/b": 16}, 64, 64),
            [1.0, 0.25, 0.0],
            id="the matched fraction",
        ),
        pytest.param(PrefixCacheScorer(), PrefixMatches({}, 64, 64), [0.0, 0.0, 0.0], id="no match"),
        pytest.param(PrefixCacheScorer(), PrefixMatches({}, 0, 64), [0.0, 0.0, 0.0], id="no blocks"),
        pytest.param(
            PrefixCacheScorer(match_length_weight=1.0),
            PrefixMatches({"default/a": 64, "default/b": 128, "default/c": 256}, 256, 64),
            [0.25, 1.0, 1.0],
            id="only the length, squared and cut at the scale",
        ),
        pytest.param(
            PrefixCacheScorer(match_length_weight=0.5, match_length_scale_tokens=4096),
            PrefixMatches({"default/a": 64, "default/b": 32}, 128, 64),
            [0.75, 0.25, 0.0],
            id="half length, half fraction",
        ),
        pytest.param(
            PrefixCacheScorer(),
            PrefixMatches({"default/a": 64, "default/b": 64}, 64, 64, {"default/b": 0.8}),
            [1.0, 0.8, 0.0],
            id="blocks in slower memory",
        ),
    ],
)
def test_matches_become_scores(scorer: PrefixCacheScorer, matches: PrefixMatches, expected: list[float]) -> None:
    assert list(scorer.score(make_request(), state_with(matches), POOL)) == pytest.approx(expected)


def test_the_named_producer_is_read() -> None:
    scorer = PrefixCacheScorer(prefix_match_info_producer_name="precise")
    assert scorer.reads == (PREFIX_MATCHES.of("precise"),)
    state = state_with(PrefixMatches({"default/a": 2}, 4, 64), "precise")
    assert scorer.score(make_request(), state, POOL) == [0.5, 0.0, 0.0]
    assert PrefixCacheScorer().score(make_request(), state, POOL) == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("weight", "scale", "message"),
    [
        pytest.param(-0.1, 1, r"match_length_weight must be within \[0, 1\], got -0.1", id="negative weight"),
        pytest.param(1.5, 1, r"match_length_weight must be within \[0, 1\], got 1.5", id="weight above one"),
        pytest.param(float("nan"), 1, r"match_length_weight must be within \[0, 1\], got nan", id="no number"),
        pytest.param(0.5, 0, "match_length_scale_tokens must be at least 1, got 0", id="no scale"),
    ],
)
def test_parameters_out_of_range_are_refused(weight: float, scale: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PrefixCacheScorer(weight, scale)


@given(
    endpoints=endpoint_lists(),
    total=st.integers(0, 1000),
    part=st.floats(0.0, 1.0),
    weight=st.floats(0.0, 1.0),
    scale=st.integers(1, 100_000),
)
def test_the_scorer_keeps_its_contract(
    endpoints: list[Endpoint], total: int, part: float, weight: float, scale: int
) -> None:
    matches = PrefixMatches({endpoints[0].name: int(total * part)}, total, 64)
    check_scorer(PrefixCacheScorer(weight, scale), make_request(), state_with(matches), endpoints)
