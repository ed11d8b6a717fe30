from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.generated import FIRST, decided, ended, endpoint_lists, produce, response_of
from turnout.framework import (
    CLIENT_LEFT,
    CycleState,
    Endpoint,
    GaugeReading,
    QueuedRequest,
    QueueOutlook,
    Refusal,
    RefusalKind,
)
from turnout.framework.testing import check_producer, check_signatures, make_endpoint, make_request, make_state
from turnout.plugins.inflight_load.keys import TOKEN_LOAD, UNCACHED_REQUEST_TOKENS, UncachedRequestTokens
from turnout.plugins.inflight_load.token_load_producer import TokenLoadProducer
from turnout.plugins.model_cache.keys import LOAD_SECONDS
from turnout.plugins.prefix_cache.keys import PrefixMatches
from turnout.plugins.session_id.keys import SESSION_ID

A, B = make_endpoint("a"), make_endpoint("b")
POOL = [A, B]
STREAMED = replace(make_request(), stream=True)
REFUSED = Refusal(RefusalKind.UNAVAILABLE, "left", CLIENT_LEFT)


def made(pool: Sequence[Endpoint] = POOL, rate: float = 1_000.0) -> TokenLoadProducer:
    plugin = TokenLoadProducer(rate)
    plugin.endpoints_changed(pool)
    return plugin


def send(
    plugin: TokenLoadProducer,
    to: Endpoint,
    tokens: int,
    now: float = 0.0,
    session: str = "",
    loads: Mapping[str, float] | None = None,
    cached: int = 0,
) -> CycleState:
    state = make_state("x" * 4 * tokens, now=now)
    matches = PrefixMatches({to.name: cached}, tokens, 1)
    state.write(UNCACHED_REQUEST_TOKENS.of(""), UncachedRequestTokens(tokens, matches))
    state.write(SESSION_ID.of(""), session)
    state.write(LOAD_SECONDS.of(""), loads or {})
    produce(plugin, STREAMED, state, POOL)
    plugin.pre_request(STREAMED, state, decided(to))
    return state


def shown(plugin: TokenLoadProducer, name: str) -> dict[str, float]:
    return {
        one.labels.get("endpoint_name", "") + one.labels.get("quantile", ""): round(one.value, 3)
        for one in plugin.readings()
        if isinstance(one, GaugeReading) and one.name == name
    }


def wait(plugin: TokenLoadProducer, tokens: int, model: str = "m") -> CycleState:
    state = make_state("x" * 4 * tokens)
    item = QueuedRequest(make_request(model=model), 0.0, state=state)
    assert plugin.entry_refusal(item, QueueOutlook(None, 0, 0.0, 1.0), 0.0) is None
    return state


def test_tokens_in_queue_are_those_that_are_sent_and_neither_cached_nor_computed() -> None:
    plugin = made()
    first = send(plugin, A, 5_000, cached=1_000)
    send(plugin, B, 500)
    assert shown(plugin, "token_load_queued_tokens") == {"a": 4_000, "b": 500}
    assert shown(plugin, "token_load_expected_ttft_seconds") == {"a": 4.0, "b": 0.5}
    assert shown(plugin, "token_load_pool_queued_tokens") == {"": 4_500}
    assert shown(plugin, "token_load_pool_expected_ttft_seconds") == {"": 2.25}
    plugin.response_body(STREAMED, first, response_of(A), FIRST)
    assert shown(plugin, "token_load_queued_tokens") == {"a": 0, "b": 500}


def test_what_waits_in_flow_control_counts_for_the_pool_until_it_goes_on_or_nowhere() -> None:
    plugin = made()
    one, two = wait(plugin, 3_000), wait(plugin, 1_000, "n")
    assert shown(plugin, "token_load_waiting_tokens") == {"": 4_000}
    assert shown(plugin, "token_load_pool_expected_ttft_seconds") == {"": 2.0}
    for _ in range(2):
        plugin.request_refused(make_request(), one, REFUSED)
    assert shown(plugin, "token_load_waiting_tokens") == {"": 1_000}
    two.write(UNCACHED_REQUEST_TOKENS.of(""), UncachedRequestTokens(1_000))
    plugin.pre_request(make_request(), two, decided(A))
    assert shown(plugin, "token_load_waiting_tokens") == {"": 0}
    assert shown(plugin, "token_load_queued_tokens") == {"a": 1_000, "b": 0}


def test_a_load_of_the_model_is_part_of_the_expected_ttft() -> None:
    plugin = made()
    send(plugin, A, 1_000, loads={"default/a": 20.0, "default/b": 7.0})
    assert shown(plugin, "token_load_expected_ttft_seconds") == {"a": 21.0, "b": 7.0}
    assert shown(plugin, "token_load_pool_expected_ttft_seconds") == {"": 7.5}


def test_tokens_per_second_follow_what_is_measured() -> None:
    plugin = made()
    for turn in range(100):
        state = send(plugin, A, 2_000, turn * 10.0)
        state.now += 1.0
        plugin.response_body(STREAMED, state, response_of(A), FIRST)
        plugin.response_complete(STREAMED, state, ended(A))
    assert shown(plugin, "token_load_tokens_per_second")["a"] == pytest.approx(2_000.0, rel=0.02)
    figures = plugin.diagnose(POOL, 1_000.0).figures
    assert [figures[one.name]["tokens_per_second_are"] for one in POOL] == ["measured", "assumed"]


@pytest.mark.parametrize(
    "how",
    [
        pytest.param("load", id="the model had to be loaded"),
        pytest.param("whole", id="the answer came in one piece at its end"),
        pytest.param("error", id="the engine refused it"),
    ],
)
def test_a_first_byte_that_tells_nothing_of_the_rate_teaches_nothing(how: str) -> None:
    plugin = made()
    state = send(plugin, A, 2_000, loads={"default/a": 1.0} if how == "load" else None)
    state.now = 100.0
    response = response_of(A)
    if how == "whole":
        response = replace(response, streaming=False)
    elif how == "error":
        response = replace(response, status=404)
    plugin.response_body(STREAMED, state, response, FIRST)
    assert shown(plugin, "token_load_tokens_per_second")["a"] == 1_000.0


def test_sessions_are_counted_where_they_are() -> None:
    plugin = made()
    first = send(plugin, A, 10, session="s")
    send(plugin, A, 10, session="t")
    send(plugin, B, 10)
    assert shown(plugin, "token_load_sessions") == {"a": 2, "b": 0}
    plugin.response_complete(STREAMED, first, ended(A))
    plugin.diagnose(POOL, 61.0)
    assert shown(plugin, "token_load_pool_sessions") == {"": 1}


def test_context_lengths_are_shown_by_quantile() -> None:
    plugin = made()
    for tokens in (100, 100, 10_000):
        send(plugin, A, tokens)
    assert shown(plugin, "token_load_context_tokens") == pytest.approx(
        {"a0.5": 100, "a0.9": 100, "a0.99": 100}, rel=0.05
    )
    assert set(shown(plugin, "token_load_pool_context_tokens")) == {"0.5", "0.9", "0.99"}


def test_each_endpoint_has_its_figures_in_the_diagnosis() -> None:
    plugin = made()
    send(plugin, A, 500)
    figures = plugin.diagnose(POOL, 0.0).figures
    assert figures["default/b"] == {
        "queued_tokens": 0,
        "tokens_per_second": 1_000.0,
        "tokens_per_second_are": "assumed",
        "expected_ttft_seconds": 0.0,
        "sessions": 0,
    }
    assert figures["default/a"]["queued_tokens"] == 500


def test_an_empty_pool_never_gets_to_what_waits() -> None:
    plugin = made([])
    assert shown(plugin, "token_load_pool_expected_ttft_seconds") == {"": 0.0}
    wait(plugin, 10)
    assert shown(plugin, "token_load_pool_expected_ttft_seconds") == {"": float("inf")}


def test_endpoints_that_left_are_not_shown() -> None:
    plugin = made()
    send(plugin, A, 500)
    plugin.endpoints_changed([B])
    assert shown(plugin, "token_load_queued_tokens") == {"b": 0}


def test_of_many_endpoints_the_busiest_are_shown() -> None:
    pool = [make_endpoint(f"{number:03}") for number in range(300)]
    plugin = made(pool)
    send(plugin, pool[299], 7)
    found = shown(plugin, "token_load_queued_tokens")
    assert (len(found), found["299"]) == (250, 7)


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        pytest.param({"tokens_per_second": 0.0}, "tokens_per_second must be positive and finite, got 0.0", id="none"),
        pytest.param({"tokens_per_second": float("nan")}, "tokens_per_second must be positive", id="no number"),
        pytest.param({"session_idle": timedelta()}, "session_idle must be positive", id="no idle time"),
        pytest.param({"context_window": timedelta(-1)}, "context_window must be positive", id="no window"),
    ],
)
def test_parameters_are_checked(parameters: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        TokenLoadProducer(**parameters)  # type: ignore[arg-type]


@given(endpoints=endpoint_lists(), tokens=st.integers(0, 10**7), now=st.floats(0.0, 1e6))
def test_it_keeps_the_contract_of_a_producer(endpoints: list[Endpoint], tokens: int, now: float) -> None:
    plugin = made(endpoints)
    check_signatures(plugin)
    view = check_producer(plugin, make_request(), make_state(now=now), endpoints).read(TOKEN_LOAD.of(""))
    state = make_state(now=now)
    state.write(UNCACHED_REQUEST_TOKENS.of(""), UncachedRequestTokens(tokens))
    plugin.pre_request(make_request(), state, decided(endpoints[0]))
    assert view.queued_tokens(replace(endpoints[0]), now) >= 0.0
    plugin.response_complete(make_request(), state, ended(endpoints[0]))
    assert view.queued_tokens(endpoints[0], now) == 0.0
    assert list(plugin.readings())
