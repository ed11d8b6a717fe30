from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.generated import FIRST, LATER, decided, ended, endpoint_lists, response_of
from turnout.framework import CycleState, Endpoint
from turnout.framework.testing import check_scorer, make_endpoint, make_request, make_state
from turnout.plugins.inflight_load.keys import UNCACHED_REQUEST_TOKENS, UncachedRequestTokens
from turnout.plugins.inflight_load.prefill_delay import PrefillDelayScorer
from turnout.plugins.prefix_cache.keys import PrefixMatches

A, B, C = (make_endpoint(name) for name in "abc")
POOL = [A, B, C]


def scorer(running_request_tokens: int = 0) -> PrefillDelayScorer:
    """A delay of 10,000 tokens is tolerated."""
    return PrefillDelayScorer(timedelta(seconds=1), 10_000.0, running_request_tokens)


def state(prompt_tokens: int = 0, cached: dict[str, int] | None = None, now: float = 0.0) -> CycleState:
    """A prompt of so many tokens, of which so many are cached at the endpoints."""
    made = make_state(now=now)
    matches = PrefixMatches({f"default/{name}": tokens for name, tokens in (cached or {}).items()}, prompt_tokens, 1)
    made.write(UNCACHED_REQUEST_TOKENS.of(""), UncachedRequestTokens(prompt_tokens, matches))
    return made


def send(plugin: PrefillDelayScorer, to: Endpoint, tokens: int, *others: tuple[str, Endpoint]) -> CycleState:
    used = state(tokens)
    plugin.pre_request(make_request(), used, decided(to, *others))
    return used


def scores(plugin: PrefillDelayScorer, used: CycleState, pool: Sequence[Endpoint] = POOL) -> list[float]:
    return [round(score, 4) for score in check_scorer(plugin, make_request(), used, pool)]


def test_who_has_the_prompt_cached_delays_it_least() -> None:
    assert scores(scorer(), state(6_000, {"a": 6_000, "b": 1_000})) == [1.0, 0.5, 0.4]


def test_what_was_sent_a_moment_ago_delays_the_next_request_and_is_computed_in_time() -> None:
    plugin = scorer()
    send(plugin, A, 5_000)
    send(plugin, A, 3_000)
    send(plugin, B, 2_000)
    assert scores(plugin, state()) == [0.2, 0.8, 1.0]
    assert scores(plugin, state(now=0.5)) == [0.7, 1.0, 1.0]
    assert scores(plugin, state(now=9.0)) == [1.0, 1.0, 1.0]


def test_what_waits_in_the_engine_delays_however_long_ago_it_was_sent() -> None:
    plugin = scorer()
    for tokens in (1_000, 2_000, 4_000):
        send(plugin, A, tokens)
    pool = [make_endpoint("a", waiting=2), B, C]
    assert scores(plugin, state(now=60.0), pool) == [0.4, 1.0, 1.0]


def test_a_request_that_runs_delays_the_others() -> None:
    pool = [replace(A, in_flight=10), replace(B, in_flight=2), C]
    assert scores(scorer(500), state(), pool) == [0.5, 0.9, 1.0]


def test_where_everybody_waits_long_a_tenth_more_is_tolerated() -> None:
    plugin = scorer()
    for endpoint, tokens in ((A, 105_000), (B, 100_000), (C, 120_000)):
        send(plugin, endpoint, tokens)
    assert scores(plugin, state()) == [0.75, 1.0, 0.0]


@pytest.mark.parametrize("how", ["first byte", "end"])
def test_a_prompt_delays_nobody_after_its_first_byte_or_its_end(how: str) -> None:
    plugin = scorer()
    used = send(plugin, A, 5_000, ("prefill", B))
    assert scores(plugin, state()) == [0.5, 0.5, 1.0]
    plugin.response_body(make_request(), used, response_of(A), LATER)
    assert scores(plugin, state()) == [0.5, 0.5, 1.0]
    if how == "first byte":
        plugin.response_body(make_request(), used, response_of(A), FIRST)
    plugin.response_complete(make_request(), used, ended(A))
    assert scores(plugin, state()) == [1.0, 1.0, 1.0]
    assert len(plugin._queues) == 0


def test_without_data_everybody_scores_by_load_alone() -> None:
    assert scores(scorer(), make_state()) == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        pytest.param({"tolerated_delay": timedelta(0)}, "tolerated_delay must be positive", id="no delay"),
        pytest.param({"peak_prefill_throughput": 0.0}, "peak_prefill_throughput must be positive", id="no rate"),
        pytest.param({"peak_prefill_throughput": float("nan")}, "must be positive and finite", id="no number"),
        pytest.param({"running_request_tokens": -1}, "running_request_tokens must be at least 0", id="negative"),
    ],
)
def test_parameters_are_checked(parameters: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        PrefillDelayScorer(**parameters)  # type: ignore[arg-type]


@given(
    endpoints=endpoint_lists(),
    sent=st.lists(st.tuples(st.integers(0, 7), st.integers(0, 10**7)), max_size=20),
    tokens=st.integers(0, 10**7),
    now=st.floats(0.0, 1e6),
)
def test_it_keeps_the_contract_of_a_scorer(
    endpoints: list[Endpoint], sent: list[tuple[int, int]], tokens: int, now: float
) -> None:
    plugin = PrefillDelayScorer()
    for place, count in sent:
        send(plugin, endpoints[place % len(endpoints)], count)
    assert max(check_scorer(plugin, make_request(), state(tokens, now=now), endpoints)) == 1.0
