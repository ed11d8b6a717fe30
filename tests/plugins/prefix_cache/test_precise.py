from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.generated import decided, ended, endpoint_lists, produce
from plugins.prefix_cache.events import CLEARED, ids, payload, removed, stored
from plugins.prefix_cache.test_engine_index import PUBLISHERS, A, B, C, hear
from turnout.framework import (
    PROMPT,
    CycleState,
    Endpoint,
    EndpointMetrics,
    InferenceRequest,
    PluginName,
    Prompt,
    Usage,
)
from turnout.framework.testing import check_producer, make_request
from turnout.plugins.prefix_cache.keys import PREFIX_MATCHES, PrefixMatches
from turnout.plugins.prefix_cache.precise import PrecisePrefixCacheProducer
from turnout.plugins.prefix_cache.precise_config import IndexerConfig
from turnout.plugins.prefix_cache.tiers import CacheBackend
from turnout.plugins.tokens.keys import TOKENIZED_PROMPT, TokenizedPrompt

NAME = "precise-prefix-cache-producer"
POOL = [A, B, C]
TOKENS = ids(2, 3, 4, 5, 6, 7, 8)  # the blocks 1, 2, 3 of two tokens, and one token more
TEXT = b"x" * 1024  # four blocks of the guess


def following(*endpoints: Endpoint, speculative: bool = False) -> PrecisePrefixCacheProducer:
    producer = PrecisePrefixCacheProducer(speculative_indexing=speculative)
    producer._index.follow({endpoint.name: PUBLISHERS[endpoint.name] for endpoint in endpoints}, 0.0)
    return producer


def state(tokens: bytes = TOKENS, *, salt: str = "", now: float = 0.0, problem: str = "") -> CycleState:
    made = CycleState(now)
    made.write(PROMPT, Prompt(TEXT, 256, salt))
    made.write(TOKENIZED_PROMPT.of(""), TokenizedPrompt(tokens, problem=problem))
    return made


def look_up(
    producer: PrecisePrefixCacheProducer,
    given_state: CycleState | None = None,
    request: InferenceRequest | None = None,
    endpoints: Sequence[Endpoint] = POOL,
) -> PrefixMatches:
    used = produce(producer, request or make_request(), given_state or state(), endpoints)
    return used.read(PREFIX_MATCHES.of(NAME))


def send(producer: PrecisePrefixCacheProducer, to: Endpoint, given_state: CycleState | None = None) -> CycleState:
    used = produce(producer, make_request(), given_state or state(), POOL)
    producer.pre_request(make_request(), used, decided(to))
    return used


def test_what_engines_announced_is_matched_whatever_was_sent() -> None:
    producer = following(A, B, C)
    hear(producer._index, A, payload(stored([1, 2, 3])))
    hear(producer._index, B, payload(stored([1, 2]), removed(2)))
    hear(producer._index, C)
    send(producer, C)
    assert look_up(producer) == PrefixMatches({"default/a": 3, "default/b": 1}, 3, 2)


def test_what_was_sent_counts_where_events_are_not_current() -> None:
    producer = following(A, B)
    hear(producer._index, A, payload(stored([1])))
    for endpoint in POOL:
        send(producer, endpoint)
    assert look_up(producer).blocks == {"default/a": 1, "default/b": 3, "default/c": 3}


def test_a_request_without_token_ids_is_matched_by_what_was_sent() -> None:
    producer = following(A)
    hear(producer._index, A, payload(stored([1, 2, 3])))
    send(producer, B)
    assert look_up(producer, state(b"", problem="no tokenizer")) == PrefixMatches({"default/b": 4}, 4, 64)
    only_prompt = CycleState()
    only_prompt.write(PROMPT, Prompt(TEXT, 256))
    assert look_up(producer, only_prompt).blocks == {"default/b": 4}
    assert look_up(producer, CycleState()) == PrefixMatches({}, 0, 64)


@pytest.mark.parametrize(
    ("endpoint", "event"),
    [
        pytest.param(A, {**stored([11, 12], lora_name="m"), "token_ids": [2, 3, 4, 5]}, id="events name the adapter"),
        pytest.param(
            replace(A, metrics=EndpointMetrics(active_adapters=frozenset({"m"}))), stored([9]), id="metrics name it"
        ),
    ],
)
def test_a_request_for_an_adapter_matches_the_adapter_s_blocks_alone(
    endpoint: Endpoint, event: dict[str, object]
) -> None:
    producer = following(A)
    hear(producer._index, A, payload(stored([1, 2, 3]), event))
    announced = 2 if event["lora_name"] else 0
    assert look_up(producer, request=make_request(model="m"), endpoints=[endpoint]).blocks.get(A.name, 0) == announced
    assert look_up(producer, request=make_request(model="base"), endpoints=[endpoint]).blocks == {A.name: 3}


def test_another_salt_matches_nothing() -> None:
    producer = following(A)
    hear(producer._index, A, payload(stored([1, 2])))
    assert look_up(producer, state(salt="tenant")).blocks == {}


def test_a_clear_leaves_nothing_of_the_endpoint() -> None:
    producer = following(A, speculative=True)
    hear(producer._index, A, payload(stored([1, 2])))
    send(producer, A)
    followed = producer._index.followed[A.name]
    producer._index.act(followed, followed.stream.message(1, payload(CLEARED), 0.0))
    assert look_up(producer).blocks == {}


def test_what_was_sent_before_an_engine_cleared_its_cache_does_not_count_when_its_events_stop() -> None:
    producer = following(A, B)
    hear(producer._index, A, payload(stored([1, 2])))
    hear(producer._index, B, payload(stored([9])))
    send(producer, A)
    followed = producer._index.followed[A.name]
    producer._index.act(followed, followed.stream.disconnected(1.0))
    assert look_up(producer).blocks == {"default/a": 3}
    producer._index.act(followed, followed.stream.connected(2.0))
    producer._index.act(followed, followed.stream.replayed([(0, payload(stored([1, 2]))), (1, payload(CLEARED))], 2.0))
    producer._index.act(followed, followed.stream.disconnected(3.0))
    assert look_up(producer).blocks == {}


def test_what_was_sent_to_an_engine_that_is_gone_does_not_count() -> None:
    producer = following(A, B)
    hear(producer._index, A, payload(stored([1, 2])))
    hear(producer._index, B, payload(stored([9])))
    send(producer, A)
    followed = producer._index.followed[A.name]
    producer._index.act(followed, followed.stream.disconnected(1.0))
    producer._index.act(followed, followed.stream.tick(11.0))
    assert look_up(producer).blocks == {}
    send(producer, A)
    assert look_up(producer).blocks == {"default/a": 3}


def test_with_speculative_indexing_a_sent_prompt_counts_until_its_time_is_over() -> None:
    producer = following(A, B, speculative=True)
    hear(producer._index, A, payload(stored([9])))
    hear(producer._index, B)
    send(producer, A)
    assert look_up(producer, state(now=1.9)).blocks == {"default/a": 3}
    assert look_up(producer, state(now=2.0)).blocks == {}
    plain = following(A)
    hear(plain._index, A, payload(stored([9])))
    send(plain, A)
    assert look_up(plain, state(now=1.0)).blocks == {}


def test_with_speculative_indexing_a_prompt_that_another_model_computes_is_not_expected() -> None:
    producer = following(A, speculative=True)
    hear(producer._index, A, payload(stored([1])))
    used = produce(producer, make_request(), state(), POOL)
    producer.pre_request(make_request(), used, replace(decided(A), target_model="small"))
    assert look_up(producer).blocks == {"default/a": 1}


def test_what_was_sent_to_an_engine_that_has_announced_nothing_yet_is_expected_there() -> None:
    producer = following(A, B, speculative=True)
    hear(producer._index, A, payload(stored([9])))
    hear(producer._index, B)
    send(producer, B)
    assert look_up(producer).blocks == {"default/b": 3}


def test_with_speculative_indexing_a_block_that_was_announced_and_evicted_counts_no_longer() -> None:
    producer = following(A, speculative=True)
    hear(producer._index, A, payload(stored([9])))
    send(producer, A)
    followed = producer._index.followed[A.name]
    for sequence, events in enumerate(([stored([1, 2])], [removed(2)]), start=1):
        producer._index.act(followed, followed.stream.message(sequence, payload(*events), 0.0))
    assert look_up(producer, state(now=0.1)).blocks == {"default/a": 1}


def test_blocks_in_host_memory_are_worth_what_the_configuration_says() -> None:
    backends = (CacheBackend("GPU", 1.0), CacheBackend("CPU", 0.5))
    producer = PrecisePrefixCacheProducer(indexer_config=IndexerConfig(kv_cache_backend_configs=backends))
    producer._index.follow({A.name: PUBLISHERS[A.name]}, 0.0)
    hear(producer._index, A, payload(stored([1, 2]), {**stored([2], parent=1), "medium": "cpu"}, removed(2)))
    assert look_up(producer) == PrefixMatches({"default/a": 2}, 3, 2, {"default/a": 0.75})


def test_predictions_are_compared_with_what_engines_report() -> None:
    producer = following(A)
    hear(producer._index, A, payload(stored([1, 2])))
    for cached in (4, 4, 6):
        used = send(producer, A)
        usage = Usage(prompt_tokens=7, completion_tokens=1, cached_tokens=cached)
        producer.response_complete(make_request(), used, replace(ended(A), usage=usage))
    figures = producer.diagnose([A], 1.0).figures["default/a"]
    assert (figures["compared_requests"], figures["agreeing_requests"]) == (3, 2)
    assert (figures["total_predicted_cached_tokens"], figures["total_reported_cached_tokens"]) == (12, 14)
    assert (figures["stream"], figures["blocks"]) == ("live", 2)


def test_a_guess_agrees_with_reports_within_a_block_of_the_guess_however_many_tokens_that_is() -> None:
    producer = following()
    # 1,024 tokens in as many bytes: a block of the guess, 256 bytes, is one of 256 tokens.
    tokens = ids(*range(1_024))
    send(producer, A, state(tokens))
    for cached in (1_008, 753, 751):
        used = send(producer, A, state(tokens))
        usage = Usage(prompt_tokens=1_024, completion_tokens=1, cached_tokens=cached)
        producer.response_complete(make_request(), used, replace(ended(A), usage=usage))
    figures = producer.diagnose([A], 1.0).figures["default/a"]
    assert (figures["compared_requests"], figures["agreeing_requests"]) == (3, 2)
    assert figures["total_predicted_cached_tokens"] == 3 * 1_008


def test_missing_token_ids_are_found_when_they_are_many_and_forgotten_when_they_are_few() -> None:
    producer = following(A)
    hear(producer._index, A)
    look_up(producer, state(b"", problem="vllm: connection refused"))
    assert [(finding.cause, finding.message) for finding in producer.diagnose([A], 0.0).findings] == [
        (
            "no-token-ids",
            "1 of the last 1 requests had no token ids: vllm: connection refused. They were matched by what was sent.",
        )
    ]
    for _ in range(20):
        look_up(producer)
    assert list(producer.diagnose([A], 0.0).findings) == []


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        pytest.param({"speculative_ttl": timedelta(0)}, "speculative_ttl must be positive", id="no time to live"),
        pytest.param({"max_index_bytes": 0}, "max_index_bytes must be at least 1", id="no memory"),
        pytest.param(
            {"indexer_config": IndexerConfig(kv_cache_backend_configs=())},
            "kv_cache_backend_configs: must have at least one entry",
            id="no tier",
        ),
    ],
)
def test_parameters_are_checked(parameters: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        PrecisePrefixCacheProducer(**parameters)  # type: ignore[arg-type]


def test_the_plugin_s_name_is_its_key() -> None:
    producer = PrecisePrefixCacheProducer(name=PluginName("mine"), token_producer_name="ids")
    assert producer.writes == (PREFIX_MATCHES.of("mine"),)
    assert producer.reads == (TOKENIZED_PROMPT.of("ids"),)


@given(endpoints=endpoint_lists(), tokens=st.lists(st.integers(0, 2**32 - 1), max_size=40), model=st.text(max_size=3))
def test_it_keeps_the_contract_of_a_producer(endpoints: list[Endpoint], tokens: list[int], model: str) -> None:
    producer = PrecisePrefixCacheProducer()
    found = check_producer(producer, make_request(model=model), state(ids(*tokens)), endpoints)
    assert found.read(PREFIX_MATCHES.of(NAME)).blocks == {}
