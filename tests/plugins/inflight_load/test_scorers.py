from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.generated import endpoint_lists
from turnout.framework import CycleState, Endpoint
from turnout.framework.testing import check_scorer, make_endpoint, make_request, make_state
from turnout.plugins.inflight_load.keys import (
    IN_FLIGHT_LOAD,
    UNCACHED_REQUEST_TOKENS,
    InFlightLoad,
    UncachedRequestTokens,
)
from turnout.plugins.inflight_load.scorers import ActiveRequestScorer, TokenLoadScorer
from turnout.plugins.prefix_cache.keys import PrefixMatches


def pool(size: int) -> list[Endpoint]:
    return [make_endpoint(str(place)) for place in range(size)]


def by_name(counts: list[int]) -> dict[str, int]:
    return {f"default/{place}": count for place, count in enumerate(counts) if count}


def state_with(
    requests: dict[str, int], tokens: dict[str, int], uncached: UncachedRequestTokens, producer: str = ""
) -> CycleState:
    state = make_state()
    state.write(IN_FLIGHT_LOAD.of(producer), InFlightLoad(requests, tokens))
    state.write(UNCACHED_REQUEST_TOKENS.of(producer), uncached)
    return state


NOTHING = UncachedRequestTokens(0)


@pytest.mark.parametrize(
    ("scorer", "requests", "expected"),
    [
        pytest.param(ActiveRequestScorer(), [0, 2, 4, 8], [1.0, 0.75, 0.5, 0.0], id="in proportion to the busiest"),
        pytest.param(ActiveRequestScorer(), [0, 0], [1.0, 1.0], id="all idle"),
        pytest.param(ActiveRequestScorer(), [3, 3], [0.0, 0.0], id="all equally busy"),
        pytest.param(ActiveRequestScorer(idle_threshold=2), [0, 2, 4, 8], [1.0, 1.0, 0.5, 0.0], id="idle up to two"),
        pytest.param(ActiveRequestScorer(max_busy_score=0.5), [0, 2, 8], [1.0, 0.375, 0.0], id="busy scores capped"),
        pytest.param(ActiveRequestScorer(timedelta(minutes=2)), [0, 1], [1.0, 0.0], id="a time limit has no effect"),
    ],
)
def test_few_requests_in_flight_score_high(
    scorer: ActiveRequestScorer, requests: list[int], expected: list[float]
) -> None:
    state = state_with(by_name(requests), {}, NOTHING)
    assert scorer.score(make_request(), state, pool(len(requests))) == expected


@pytest.mark.parametrize(
    ("scorer", "tokens", "uncached", "expected"),
    [
        pytest.param(TokenLoadScorer(1000), [0, 250, 1000, 5000], NOTHING, [1.0, 0.75, 0.0, 0.0], id="in flight"),
        pytest.param(
            TokenLoadScorer(1000), [0, 250], UncachedRequestTokens(500), [0.5, 0.25], id="and those of the request"
        ),
        pytest.param(
            TokenLoadScorer(1000),
            [0, 0],
            UncachedRequestTokens(500, PrefixMatches({"default/1": 5}, 8, 64)),
            [0.5, 0.82],
            id="less what is cached",
        ),
        pytest.param(TokenLoadScorer(), [0, 2097152], NOTHING, [1.0, 0.5], id="the default threshold"),
    ],
)
def test_few_tokens_in_flight_score_high(
    scorer: TokenLoadScorer, tokens: list[int], uncached: UncachedRequestTokens, expected: list[float]
) -> None:
    state = state_with({}, by_name(tokens), uncached)
    assert scorer.score(make_request(), state, pool(len(tokens))) == pytest.approx(expected)


def test_the_named_producer_is_read() -> None:
    state = state_with({"default/0": 1}, {"default/0": 10}, NOTHING, "mine")
    active = ActiveRequestScorer(in_flight_load_producer_name="mine")
    tokens = TokenLoadScorer(10, in_flight_load_producer_name="mine")
    assert (*active.reads, *tokens.reads) == (
        IN_FLIGHT_LOAD.of("mine"),
        IN_FLIGHT_LOAD.of("mine"),
        UNCACHED_REQUEST_TOKENS.of("mine"),
    )
    assert active.score(make_request(), state, pool(2)) == [0.0, 1.0]
    assert tokens.score(make_request(), state, pool(2)) == [0.0, 1.0]


def test_without_data_all_endpoints_are_equal() -> None:
    assert ActiveRequestScorer().score(make_request(), make_state(), pool(2)) == [1.0, 1.0]
    assert TokenLoadScorer().score(make_request(), make_state(), pool(2)) == [1.0, 1.0]


@pytest.mark.parametrize(
    ("idle", "score", "message"),
    [
        pytest.param(-1, 1.0, "idle_threshold must be at least 0, got -1", id="negative threshold"),
        pytest.param(0, 1.1, r"max_busy_score must be within \[0, 1\], got 1.1", id="score above one"),
    ],
)
def test_parameters_of_the_active_request_scorer_have_ranges(idle: int, score: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ActiveRequestScorer(idle_threshold=idle, max_busy_score=score)


def test_the_token_threshold_is_positive() -> None:
    with pytest.raises(ValueError, match="queue_threshold_tokens must be at least 1, got 0"):
        TokenLoadScorer(0)


@given(
    endpoints=endpoint_lists(),
    counts=st.lists(st.integers(0, 10**9), min_size=8, max_size=8),
    idle=st.integers(0, 10),
    top=st.floats(0.0, 1.0),
    prompt_tokens=st.integers(0, 10**7),
)
def test_the_scorers_keep_their_contract(
    endpoints: list[Endpoint], counts: list[int], idle: int, top: float, prompt_tokens: int
) -> None:
    names = [endpoint.name for endpoint in endpoints]
    load = dict(zip(names, counts, strict=False))
    state = state_with(load, load, UncachedRequestTokens(prompt_tokens))
    check_scorer(ActiveRequestScorer(None, idle, top), make_request(), state, endpoints)
    check_scorer(TokenLoadScorer(1000), make_request(), state, endpoints)
