import asyncio
import random
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.generated import decided, ended, endpoint_lists, produce
from turnout.framework import (
    Completion,
    CounterReading,
    CycleState,
    Endpoint,
    EndpointMetrics,
    GaugeReading,
    HistogramReading,
    PluginName,
    Prompt,
    SchedulingResult,
    Termination,
    Usage,
)
from turnout.framework.testing import check_producer, make_endpoint, make_request, make_state
from turnout.plugins.prefix_cache.approximate import ApproxPrefixCacheProducer
from turnout.plugins.prefix_cache.blocks import hash_bytes
from turnout.plugins.prefix_cache.index import PrefixIndex
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
    size, ratio, found, *_ = producer.readings()
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


def test_a_prompt_that_another_model_computes_is_not_remembered_for_the_one_that_was_asked_for() -> None:
    producer = ApproxPrefixCacheProducer()
    send(producer, text(4), replace(decided(A), target_model="small"))
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
REPORTS_256 = make_endpoint("s", metrics=EndpointMetrics(cache_block_size=256, cache_num_blocks=3))
REPORTS_16 = make_endpoint("r", metrics=EndpointMetrics(cache_block_size=16, cache_num_blocks=12))


@pytest.mark.parametrize(
    ("producer", "first", "size", "blocks"),
    [
        pytest.param(ApproxPrefixCacheProducer(), A, 64, 16, id="the default is below the minimum"),
        pytest.param(ApproxPrefixCacheProducer(block_size_tokens=256), A, 256, 4, id="as configured"),
        pytest.param(ApproxPrefixCacheProducer(block_size_tokens=256), REPORTS_128, 128, 8, id="as the engine says"),
        pytest.param(ApproxPrefixCacheProducer(), REPORTS_16, 64, 16, id="the engine's is below the minimum"),
        pytest.param(ApproxPrefixCacheProducer(), REPORTS_256, 256, 4, id="as the engine with the largest says"),
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
    matches = look_up(producer, text(16), [REPORTS_16, first, B] if first is REPORTS_256 else [first, B])
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
    state = produce(producer, make_request(), make_state(text(16)), [endpoint])
    producer.pre_request(make_request(), state, decided(endpoint))
    producer.response_complete(make_request(), state, ended(endpoint))
    assert look_up(producer, text(16), [endpoint]).blocks == {endpoint.name: kept}


def dispatched(producer: ApproxPrefixCacheProducer, prompt: str, endpoint: Endpoint) -> CycleState:
    state = produce(producer, make_request(), make_state(prompt), [endpoint])
    producer.pre_request(make_request(), state, decided(endpoint))
    return state


SMALL = make_endpoint("s", metrics=EndpointMetrics(cache_block_size=64, cache_num_blocks=6))


def test_what_is_on_its_way_takes_no_room_from_what_is_in_the_cache() -> None:
    producer = ApproxPrefixCacheProducer()
    first = dispatched(producer, text(4, "a"), SMALL)
    producer.response_complete(make_request(), first, ended(SMALL))
    waiting = [dispatched(producer, text(4, letter), SMALL) for letter in "bc"]
    matched = {letter: look_up(producer, text(4, letter), [SMALL]).blocks.get("default/s", 0) for letter in "abc"}
    assert matched == {"a": 4, "b": 4, "c": 4}
    for state in waiting:
        producer.response_complete(make_request(), state, ended(SMALL))
    matched = {letter: look_up(producer, text(4, letter), [SMALL]).blocks.get("default/s", 0) for letter in "abc"}
    assert matched == {"a": 0, "b": 2, "c": 4}


def test_what_ended_last_is_forgotten_last() -> None:
    producer = ApproxPrefixCacheProducer()
    long, short = dispatched(producer, text(4, "a"), SMALL), dispatched(producer, text(4, "b"), SMALL)
    producer.response_complete(make_request(), short, ended(SMALL))
    producer.response_complete(make_request(), long, ended(SMALL))
    assert look_up(producer, text(4, "a"), [SMALL]).blocks == {"default/s": 4}
    assert look_up(producer, text(4, "b"), [SMALL]).blocks == {"default/s": 2}


def test_a_request_that_failed_is_no_use_of_its_prompt_and_leaves_no_room_taken() -> None:
    producer = ApproxPrefixCacheProducer()
    failed = dispatched(producer, text(4, "a"), SMALL)
    producer.response_complete(make_request(), failed, replace(ended(SMALL), cause=Termination.ERROR))
    done = dispatched(producer, text(4, "b"), SMALL)
    producer.response_complete(make_request(), done, ended(SMALL))
    assert look_up(producer, text(4, "a"), [SMALL]).blocks == {"default/s": 2}
    assert producer._on_their_way == {}


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
    assert len(producer._roll_call) == 1
    assert len(producer._index) == 3


def reporting(queries: float, hits: float, at: float) -> Endpoint:
    seen = {"prefix_cache_queries": at}
    return make_endpoint(
        "a", metrics=EndpointMetrics(prefix_cache_queries=queries, prefix_cache_hits=hits, observed_at=seen)
    )


def test_an_engine_that_restarted_holds_nothing() -> None:
    producer = ApproxPrefixCacheProducer()
    send(producer, text(4), decided(A), [reporting(1000, 500, 0.0)], now=0.0)
    assert look_up(producer, text(4), [reporting(2000, 700, 2.0)], now=2.0).blocks == {"default/a": 4}
    assert look_up(producer, text(4), [reporting(64, 0, 4.0)], now=4.0).blocks == {}
    assert [finding.cause for finding in producer.diagnose([A], 5.0).findings] == ["engine-restarted"]
    send(producer, text(4), decided(A), [reporting(64, 0, 4.0)], now=6.0)
    assert look_up(producer, text(4), [reporting(320, 0, 8.0)], now=8.0).blocks == {"default/a": 4}


def test_all_endpoints_together_stay_within_the_bound_of_bytes() -> None:
    producer = ApproxPrefixCacheProducer(max_index_bytes=1 << 20)
    for number in range(40):
        endpoint = make_endpoint(f"e{number}")
        send(producer, text(100, chr(65 + number)), decided(endpoint), [endpoint])
    assert len(producer._index) == (1 << 20) // 362 == 2896
    assert min(producer._index.held(f"default/e{number}") for number in range(40)) == 72


async def answer(
    producer: ApproxPrefixCacheProducer,
    prompt: str,
    result: SchedulingResult,
    cached: int | None,
    *,
    now: float = 0.0,
    served_by: str | None = None,
) -> None:
    """The whole life of a request whose prompt the engine counts as one token for 4 bytes."""
    state = make_state(prompt, now=now)
    await producer.produce(make_request(), state, POOL)
    producer.pre_request(make_request(), state, result)
    usage = Usage(prompt_tokens=len(prompt) // 4, cached_tokens=cached)
    end = Completion(result.endpoint, Termination.NATURAL, 200, served_by=served_by, usage=usage)
    producer.response_complete(make_request(), state, end)


async def test_what_the_engine_reports_is_compared_with_what_was_expected() -> None:
    producer = ApproxPrefixCacheProducer()
    await answer(producer, text(4), decided(A), 0)
    await answer(producer, text(4), decided(A), 240)
    await answer(producer, text(4), decided(A), 0)
    figures = producer.diagnose([A, B], 0.0).figures
    shown = {name: figures["default/a"][name] for name in ("requests", "compared_requests", "agreeing_requests")}
    assert shown == {"requests": 3, "compared_requests": 3, "agreeing_requests": 2}
    assert figures["default/a"]["predicted_cached_tokens"] == 512
    assert figures["default/a"]["reported_cached_tokens"] == 240
    assert (figures["default/a"]["blocks"], figures["default/b"]["blocks"]) == (4, 0)
    assert (figures["default/a"]["capacity_blocks"], figures["default/a"]["capacity_factor"]) == (31250, 1.0)
    counters = {r.name: r.value for r in producer.readings() if isinstance(r, CounterReading)}
    assert counters == {"prefix_predicted_cached_tokens_total": 512, "prefix_reported_cached_tokens_total": 240}


@pytest.mark.parametrize(
    ("result", "served_by"),
    [
        pytest.param(decided(A), B.host_port, id="another endpoint answered"),
        pytest.param(decided(A, ("prefill", B)), None, id="another endpoint computed the prompt"),
    ],
)
async def test_what_was_computed_elsewhere_is_not_compared(result: SchedulingResult, served_by: str | None) -> None:
    producer = ApproxPrefixCacheProducer()
    await answer(producer, text(4), result, 0, served_by=served_by)
    assert producer.diagnose([A], 0.0).figures["default/a"].get("compared_requests", 0) == 0


def test_the_end_of_a_request_without_usage_says_nothing() -> None:
    producer = ApproxPrefixCacheProducer()
    state = produce(producer, make_request(), make_state(text(4)), POOL)
    producer.response_complete(make_request(), state, Completion(A, Termination.ERROR))
    producer.pre_request(make_request(), state, decided(A))
    producer.response_complete(make_request(), state, Completion(A, Termination.NATURAL, 200))
    assert producer.diagnose([A], 0.0).figures["default/a"]["compared_requests"] == 0


async def test_a_cache_that_is_switched_off_is_found() -> None:
    producer = ApproxPrefixCacheProducer()
    for second in range(25):
        await answer(producer, text(4), decided(A), 0, now=float(second))
    (finding,) = producer.diagnose([A], 25.0).findings
    assert (finding.cause, finding.endpoint) == ("silent-zero-reported", "default/a")


class SmallEngine:
    """An engine that keeps so many blocks, whatever it says of itself."""

    def __init__(self, blocks: int) -> None:
        self._index = PrefixIndex()
        self._blocks = blocks

    def serve(self, prompt: str) -> int:
        """Cached tokens."""
        chain = hash_bytes(Prompt(prompt.encode()), "m", 64, 1_000)
        found = self._index.match(chain).get("engine", 0)
        self._index.add("engine", chain, self._blocks)
        return found * 64


@pytest.mark.parametrize(
    ("auto_tune", "keeps", "lowest", "highest"),
    [
        pytest.param(True, 320, 0.4, 0.65, id="an engine that keeps half of what it says"),
        pytest.param(True, 640, 1.0, 1.0, id="an engine that keeps what it says"),
        pytest.param(True, 960, 1.2, 1.6, id="an engine that keeps half as much again"),
        pytest.param(False, 320, 1.0, 1.0, id="a capacity that was asked for is left as it is"),
    ],
)
async def test_the_capacity_finds_what_an_engine_really_keeps(
    auto_tune: bool, keeps: int, lowest: float, highest: float
) -> None:
    producer = ApproxPrefixCacheProducer(auto_tune=auto_tune, lru_capacity_per_server=640)
    engine, draw = SmallEngine(keeps), random.Random(3)
    for number in range(6_000):
        prompt = text(8, chr(1 + draw.randrange(120)))
        await answer(producer, prompt, decided(A), engine.serve(prompt), now=number / 2)
    assert lowest <= producer._correction.factor("default/a") <= highest


async def test_a_snapshot_is_taken_up_by_the_next_process(tmp_path: Path) -> None:
    path = str(tmp_path / "index")
    before, after = (ApproxPrefixCacheProducer(snapshot_path=path) for _ in range(2))
    state = make_state(text(4))
    await before.produce(make_request(), state, POOL)
    before.pre_request(make_request(), state, decided(A))
    assert before._keeper is not None
    await before._keeper.save()
    running = asyncio.create_task(after.run())
    while "default/a" not in after._index:
        await asyncio.sleep(0)
    running.cancel()
    state = make_state(text(4))
    await after.produce(make_request(), state, POOL)
    assert state.read(PREFIX_MATCHES.of("")).blocks == {"default/a": 4}


async def test_without_a_path_there_is_nothing_to_run() -> None:
    await ApproxPrefixCacheProducer().run()


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
        pytest.param(
            partial(Producer, max_index_bytes=2**20 - 1),
            "max_index_bytes must be at least 1048576, got 1048575",
            id="no room for an index",
        ),
        pytest.param(
            partial(Producer, snapshot_interval_seconds=0.5),
            "snapshot_interval_seconds must be at least 1, got 0.5",
            id="snapshots all the time",
        ),
        pytest.param(
            partial(Producer, snapshot_interval_seconds=float("nan")),
            "snapshot_interval_seconds must be at least 1, got nan",
            id="no number of seconds",
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
