from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.generated import decided, endpoint_lists, produce
from turnout.framework import (
    Endpoint,
    EndpointMetrics,
    GaugeReading,
    HistogramReading,
    PluginName,
    SchedulingResult,
)
from turnout.framework.testing import check_producer, make_endpoint, make_request, make_state
from turnout.plugins.prefix_cache.approximate import ApproxPrefixCacheProducer
from turnout.plugins.prefix_cache.keys import PREFIX_MATCHES, PrefixMatches

A, B, C = (make_endpoint(name) for name in "abc")
POOL = [A, B, C]
BLOCK = 256  # bytes of 64 tokens


def text(blocks: int, letter: str = "x") -> str:
    return letter * (blocks * BLOCK)


def look_up(
    producer: ApproxPrefixCacheProducer,
    prompt: str | None,
    endpoints: list[Endpoint] = POOL,
    *,
    model: str = "m",
    now: float = 0.0,
) -> PrefixMatches:
    state = produce(producer, make_request(model=model), make_state(prompt, now=now), endpoints)
    return state.read(PREFIX_MATCHES.of(""))


def send(
    producer: ApproxPrefixCacheProducer,
    prompt: str,
    result: SchedulingResult,
    endpoints: list[Endpoint] = POOL,
    *,
    now: float = 0.0,
) -> None:
    state = produce(producer, make_request(), make_state(prompt, now=now), endpoints)
    producer.pre_request(make_request(), state, result)


def test_a_prompt_that_was_sent_matches_where_it_was_sent() -> None:
    producer = ApproxPrefixCacheProducer()
    assert look_up(producer, text(4)) == PrefixMatches({}, 4, 64)
    send(producer, text(4), decided(A))
    assert look_up(producer, text(4)) == PrefixMatches({"default/a": 4}, 4, 64)
    assert look_up(producer, text(2) + text(3, "y")) == PrefixMatches({"default/a": 2}, 5, 64)
    assert look_up(producer, text(4), model="other") == PrefixMatches({}, 4, 64)


def test_the_size_of_the_index_and_what_was_found_where_prompts_went_can_be_read() -> None:
    producer = ApproxPrefixCacheProducer()
    send(producer, text(4), decided(A))
    send(producer, text(2) + text(2, "y"), decided(A))
    send(producer, text(4), decided(B))
    size, ratio, found = producer.readings()
    assert isinstance(size, GaugeReading)
    assert isinstance(ratio, HistogramReading)
    assert isinstance(found, HistogramReading)
    assert (size.name, size.value) == ("prefix_indexer_size", 10)
    assert (ratio.name, ratio.histogram.total, ratio.histogram.counts[5]) == ("prefix_indexer_hit_ratio", 0.5, 1)
    assert (found.name, found.histogram.total) == ("prefix_indexer_hit_bytes", 512)


def test_looking_up_remembers_nothing() -> None:
    producer = ApproxPrefixCacheProducer()
    look_up(producer, text(4))
    assert look_up(producer, text(4)).blocks == {}


def test_the_prefill_endpoint_remembers_too_and_others_do_not() -> None:
    producer = ApproxPrefixCacheProducer()
    send(producer, text(4), decided(A, ("prefill", B), ("encode", C)))
    assert look_up(producer, text(4)).blocks == {"default/a": 4, "default/b": 4}


def test_one_endpoint_in_both_roles_is_remembered_once() -> None:
    producer = ApproxPrefixCacheProducer()
    send(producer, text(4), decided(A, ("prefill", A)))
    assert look_up(producer, text(4)).blocks == {"default/a": 4}


def test_a_request_without_a_prompt_has_no_blocks() -> None:
    producer = ApproxPrefixCacheProducer()
    state = produce(producer, make_request(), make_state(), POOL)
    assert state.read(PREFIX_MATCHES.of("")) == PrefixMatches({}, 0, 64)
    producer.pre_request(make_request(), state, decided(A))
    producer.pre_request(make_request(), make_state(), decided(A))
    assert look_up(producer, text(1)).blocks == {}


def test_the_plugin_s_name_is_its_key() -> None:
    producer = ApproxPrefixCacheProducer(name=PluginName("mine"))
    assert producer.writes == (PREFIX_MATCHES.of("mine"),)
    state = check_producer(producer, make_request(), make_state(text(2)), POOL)
    assert state.read(PREFIX_MATCHES.of("mine")).total_blocks == 2


REPORTS_128 = make_endpoint("r", metrics=EndpointMetrics(cache_block_size=128, cache_num_blocks=3))
REPORTS_16 = make_endpoint("r", metrics=EndpointMetrics(cache_block_size=16, cache_num_blocks=12))


@pytest.mark.parametrize(
    ("producer", "first", "size", "blocks"),
    [
        pytest.param(ApproxPrefixCacheProducer(), A, 64, 16, id="the default is below the minimum"),
        pytest.param(ApproxPrefixCacheProducer(block_size_tokens=256), A, 256, 4, id="as configured"),
        pytest.param(ApproxPrefixCacheProducer(block_size_tokens=256), REPORTS_128, 128, 8, id="as the engine says"),
        pytest.param(ApproxPrefixCacheProducer(), REPORTS_16, 64, 16, id="the engine's is below the minimum"),
        pytest.param(ApproxPrefixCacheProducer(auto_tune=False), REPORTS_128, 64, 16, id="not tuned"),
        pytest.param(
            ApproxPrefixCacheProducer(block_size_tokens=0, block_size=512), A, 512, 2, id="the deprecated spelling"
        ),
        pytest.param(ApproxPrefixCacheProducer(max_prefix_tokens_to_match=300), A, 64, 4, id="cut at the token limit"),
        pytest.param(
            ApproxPrefixCacheProducer(max_prefix_tokens_to_match=0, max_prefix_blocks_to_match=3),
            A,
            64,
            3,
            id="cut at the deprecated block limit",
        ),
        pytest.param(ApproxPrefixCacheProducer(max_prefix_tokens_to_match=1), A, 64, 1, id="never below one block"),
    ],
)
def test_a_prompt_of_1024_tokens_is_cut_into_blocks(
    producer: ApproxPrefixCacheProducer, first: Endpoint, size: int, blocks: int
) -> None:
    matches = look_up(producer, text(16), [first, B])
    assert (matches.block_size_tokens, matches.total_blocks) == (size, blocks)


@pytest.mark.parametrize(
    ("producer", "endpoint", "kept"),
    [
        pytest.param(ApproxPrefixCacheProducer(lru_capacity_per_server=5), A, 5, id="as configured"),
        pytest.param(ApproxPrefixCacheProducer(), REPORTS_16, 3, id="192 tokens of the engine's cache in blocks of 64"),
        pytest.param(
            ApproxPrefixCacheProducer(auto_tune=False, lru_capacity_per_server=7), REPORTS_16, 7, id="not tuned"
        ),
    ],
)
def test_an_endpoint_remembers_no_more_than_its_cache_holds(
    producer: ApproxPrefixCacheProducer, endpoint: Endpoint, kept: int
) -> None:
    send(producer, text(16), decided(endpoint), [endpoint])
    assert look_up(producer, text(16), [endpoint]).blocks == {endpoint.name: kept}


def test_an_absurd_report_of_an_engine_does_not_lift_the_bound() -> None:
    absurd = make_endpoint("z", metrics=EndpointMetrics(cache_block_size=64, cache_num_blocks=10**15))
    assert ApproxPrefixCacheProducer()._tuned_capacity(absurd, 64) == 500_000


def test_an_endpoint_that_left_is_forgotten_after_two_minutes() -> None:
    producer = ApproxPrefixCacheProducer()
    send(producer, text(4), decided(A), now=0.0)
    send(producer, text(4), decided(B), now=1.0)
    assert look_up(producer, text(4), [B, C], now=119.0).blocks == {"default/a": 4, "default/b": 4}
    assert look_up(producer, text(4), [B, C], now=121.0).blocks == {"default/b": 4}
    assert len(producer._index) == 4
    assert look_up(producer, text(4), POOL, now=122.0).blocks == {"default/b": 4}


def test_an_idle_hour_forgets_no_endpoint_that_is_still_there() -> None:
    producer = ApproxPrefixCacheProducer()
    send(producer, text(4), decided(A), now=0.0)
    assert look_up(producer, text(4), now=3600.0).blocks == {"default/a": 4}


def test_churning_endpoints_leave_nothing_behind() -> None:
    producer = ApproxPrefixCacheProducer()
    for number in range(100):
        endpoint = make_endpoint(f"pod-{number}")
        send(producer, text(3), decided(endpoint), [endpoint], now=number * 121.0)
    assert len(producer._last_seen) == 1
    assert len(producer._index) == 3


Producer = ApproxPrefixCacheProducer


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(
            partial(Producer, block_size_tokens=-1), "block_size_tokens must be at least 0, got -1", id="block size"
        ),
        pytest.param(
            partial(Producer, block_size_tokens=0), "block_size must be at least 1, got 0", id="no block size"
        ),
        pytest.param(
            partial(Producer, block_size=-1), "block_size must be at least 0, got -1", id="deprecated block size"
        ),
        pytest.param(
            partial(Producer, max_prefix_tokens_to_match=-1),
            "max_prefix_tokens_to_match must be at least 0, got -1",
            id="tokens",
        ),
        pytest.param(
            partial(Producer, max_prefix_tokens_to_match=0, max_prefix_blocks_to_match=0),
            "max_prefix_blocks_to_match must be at least 1, got 0",
            id="no limit at all",
        ),
        pytest.param(
            partial(Producer, lru_capacity_per_server=0),
            "lru_capacity_per_server must be at least 1, got 0",
            id="capacity",
        ),
    ],
)
def test_parameters_out_of_range_are_refused(make: partial[ApproxPrefixCacheProducer], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@given(endpoints=endpoint_lists(), prompt=st.none() | st.text(max_size=2000))
def test_the_producer_keeps_its_contract(endpoints: list[Endpoint], prompt: str | None) -> None:
    producer = ApproxPrefixCacheProducer()
    state = check_producer(producer, make_request(), make_state(prompt), endpoints)
    producer.pre_request(make_request(), state, decided(endpoints[-1]))
    matches = look_up(producer, prompt, endpoints)
    assert all(0 < matched <= matches.total_blocks for matched in matches.blocks.values())
