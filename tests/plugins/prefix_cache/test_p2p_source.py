from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.requests.fakes import CHAT, House
from plugins.generated import decided, endpoint_lists, produce
from turnout.config import load_pipeline
from turnout.epp.extproc.mutations import decision_applied
from turnout.epp.requests.dispatch import Dispatch
from turnout.epp.requests.exchange import RequestBody, RequestHead
from turnout.framework import CycleState, Endpoint, Headers, SchedulingResult, StateKey
from turnout.framework.testing import check_producer, make_endpoint, make_request, make_state
from turnout.plugins.prefix_cache.keys import PREFIX_MATCHES, PrefixMatches
from turnout.plugins.prefix_cache.p2p_source import P2PSourceProducer

A, B, C, D = (make_endpoint(name) for name in "abcd")
POOL = [A, B, C, D]


def header(
    blocks: dict[str, int],
    result: SchedulingResult,
    producer: P2PSourceProducer | None = None,
    *,
    request_id: str = "r1",
    endpoints: Sequence[Endpoint] = POOL,
) -> Mapping[str, str] | None:
    """What is set for matches in blocks of 64 tokens, given by the endpoints' short names."""
    plugin = producer or P2PSourceProducer()
    state = make_state()
    state.write(PREFIX_MATCHES.of(""), PrefixMatches({f"default/{name}": n for name, n in blocks.items()}, 20, 64))
    produce(plugin, make_request(request_id), state, endpoints)
    return plugin.pre_request(make_request(request_id), state, result)


def source(
    blocks: dict[str, int],
    result: SchedulingResult,
    producer: P2PSourceProducer | None = None,
    request_id: str = "r1",
    endpoints: Sequence[Endpoint] = POOL,
) -> str:
    """The short name of the endpoint that the header names; empty without a header."""
    headers = header(blocks, result, producer, request_id=request_id, endpoints=endpoints) or {}
    by_address = {endpoint.host_port: endpoint.name[-1] for endpoint in endpoints}
    return by_address[headers["x-kv-cache-source-host-port"]] if headers else ""


def test_the_header_names_host_and_port() -> None:
    assert header({"b": 5}, decided(A)) == {"x-kv-cache-source-host-port": "10.0.0.99:8000"}
    six = Endpoint("default/b", "2001:db8::1", 8001)
    assert header({"b": 5}, decided(A), endpoints=[A, six]) == {"x-kv-cache-source-host-port": "[2001:db8::1]:8001"}


@pytest.mark.parametrize(
    ("blocks", "result", "producer", "expected"),
    [
        pytest.param({"b": 5}, decided(A), None, "b", id="another endpoint has it"),
        pytest.param({"a": 5}, decided(A), None, "", id="only the destination has it"),
        pytest.param({"a": 5, "b": 5}, decided(A), None, "", id="nobody has more than the destination"),
        pytest.param({"a": 4, "b": 5}, decided(A), None, "b", id="a block more"),
        pytest.param({}, decided(A), None, "", id="nobody has any"),
        pytest.param({"b": 2, "c": 9}, decided(A), None, "c", id="the one with the most"),
        pytest.param({"b": 5}, decided(B), None, "", id="the source would be the destination"),
        pytest.param({"b": 5}, decided(A, ("prefill", B)), None, "", id="the prefill endpoint computes, and has it"),
        pytest.param(
            {"a": 5}, decided(A, ("prefill", B)), None, "a", id="the prefill endpoint fetches from the decode"
        ),
        pytest.param(
            {"a": 5, "b": 5},
            decided(A, ("prefill", B)),
            P2PSourceProducer(prefill_profile_name="p"),
            "",
            id="not so named",
        ),
        pytest.param({"a": 5}, decided(A, ("p", B)), P2PSourceProducer(prefill_profile_name="p"), "a", id="so named"),
        pytest.param({"a": 1, "b": 3}, decided(A), P2PSourceProducer(128), "b", id="just enough tokens more"),
        pytest.param({"a": 1, "b": 3}, decided(A), P2PSourceProducer(129), "", id="not enough tokens more"),
    ],
)
def test_the_source_has_more_of_the_prompt_than_who_computes_it(
    blocks: dict[str, int], result: SchedulingResult, producer: P2PSourceProducer | None, expected: str
) -> None:
    assert source(blocks, result, producer) == expected


def test_another_rank_at_the_same_address_is_no_source() -> None:
    twin = replace(A, name="default/a-rank-1", rank=1)
    assert header({"a-rank-1": 5}, decided(A), endpoints=[A, twin]) is None


def test_sources_within_a_block_of_the_best_share_the_load_by_their_queues() -> None:
    pool = [A, make_endpoint("b", waiting=0), make_endpoint("c", waiting=3), make_endpoint("d", waiting=0)]
    blocks = {"b": 9, "c": 10, "d": 8}
    drawn = Counter(source(blocks, decided(A), request_id=f"r{n}", endpoints=pool) for n in range(4000))
    assert drawn["b"] / 4000 == pytest.approx(0.8, abs=0.02)
    assert drawn["c"] / 4000 == pytest.approx(0.2, abs=0.02)
    assert set(drawn) == {"b", "c"}


def test_near_the_best_is_not_enough_without_the_advantage() -> None:
    blocks = {"a": 8, "b": 9, "c": 10}
    drawn = {source(blocks, decided(A), P2PSourceProducer(65), request_id=f"r{n}") for n in range(50)}
    assert drawn == {"c"}


def test_a_request_s_id_decides() -> None:
    blocks = {"b": 10, "c": 10, "d": 10}
    first = [source(blocks, decided(A), request_id=f"r{n}") for n in range(20)]
    assert [source(blocks, decided(A), request_id=f"r{n}") for n in range(20)] == first
    assert "".join(first[:6]) == "ddbcbd"
    assert source(blocks, decided(A), request_id="\udcff") in {"b", "c", "d"}


def test_without_data_there_is_no_source() -> None:
    producer = P2PSourceProducer()
    assert producer.pre_request(make_request(), make_state(), decided(A)) is None
    state = produce(producer, make_request(), make_state(), POOL)
    assert producer.pre_request(make_request(), state, decided(A)) is None


def test_endpoints_are_not_kept_beyond_the_decision() -> None:
    producer, state = P2PSourceProducer(), make_state()
    produce(producer, make_request(), state, POOL)
    producer.pre_request(make_request(), state, decided(A))
    assert state.written() == {}


CONFIG = """
apiVersion: turnout/v1
kind: EndpointPickerConfig
plugins:
- {type: p2p-source-producer, parameters: {prefixMatchInfoProducerName: approx-prefix-cache-producer}}
- {type: queue-scorer}
"""


async def test_the_header_is_set_on_a_request_that_goes_where_less_is_cached() -> None:
    house = House(changes=lambda _: load_pipeline(CONFIG))
    head = RequestHead(Headers([(":path", "/v1/chat/completions"), ("x-kv-cache-source-host-port", "9.9.9.9:1")]))
    first = await house.director.route(head, RequestBody(CHAT))
    second = await house.director.route(head, RequestBody(CHAT))
    assert isinstance(first, Dispatch)
    assert isinstance(second, Dispatch)
    # The queue scorer counts what is in flight, so the second request goes to the other endpoint.
    assert first.routed.destination != second.routed.destination
    assert "x-kv-cache-source-host-port" not in first.routed.set_headers
    assert second.routed.set_headers["x-kv-cache-source-host-port"] == first.routed.destination
    assert "x-kv-cache-source-host-port" in decision_applied(head.headers, first.routed).remove_headers
    sent_on = decision_applied(head.headers, second.routed).set_headers
    assert sent_on["x-kv-cache-source-host-port"] == first.routed.destination


def test_the_named_producer_is_read() -> None:
    reads: tuple[StateKey[PrefixMatches], ...] = P2PSourceProducer(prefix_match_info_producer_name="mine").reads
    assert reads == (PREFIX_MATCHES.of("mine"),)


def test_the_advantage_is_positive() -> None:
    with pytest.raises(ValueError, match="min_cached_token_delta must be at least 1, got 0"):
        P2PSourceProducer(0)


@given(
    endpoints=endpoint_lists(),
    blocks=st.lists(st.integers(0, 5), min_size=8, max_size=8),
    delta=st.integers(1, 300),
    request_id=st.text(max_size=8),
)
def test_a_source_is_another_endpoint_that_is_ahead_by_the_advantage(
    endpoints: list[Endpoint], blocks: list[int], delta: int, request_id: str
) -> None:
    producer, request, state = P2PSourceProducer(delta), make_request(request_id), CycleState()
    matched = {endpoint.name: n for endpoint, n in zip(endpoints, blocks, strict=False)}
    state.write(PREFIX_MATCHES.of(""), PrefixMatches(matched, 5, 64))
    check_producer(producer, request, state, endpoints)
    headers = producer.pre_request(request, state, decided(endpoints[0])) or {}
    ahead = {e.host_port: (matched[e.name] - matched[endpoints[0].name]) * 64 for e in endpoints[1:]}
    worthwhile = {address for address, tokens in ahead.items() if tokens >= delta}
    assert bool(headers) == bool(worthwhile)
    assert set(headers.values()) <= worthwhile
