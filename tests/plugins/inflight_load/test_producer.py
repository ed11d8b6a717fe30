from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from plugins.generated import FIRST, LATER, decided, ended, endpoint_lists, produce, response_of
from turnout.framework import CycleState, Endpoint, GaugeReading, PluginName, ResponseChunk, SchedulingResult
from turnout.framework.testing import check_producer, make_endpoint, make_request, make_state
from turnout.plugins.inflight_load.keys import IN_FLIGHT_LOAD, UNCACHED_REQUEST_TOKENS
from turnout.plugins.inflight_load.producer import InFlightLoadProducer
from turnout.plugins.prefix_cache.keys import PREFIX_MATCHES, PrefixMatches

A, B, C = (make_endpoint(name) for name in "abc")
POOL = [A, B, C]
REQUEST = make_request()
PROMPT_OF_100_TOKENS = "x" * 400


def load(producer: InFlightLoadProducer) -> tuple[dict[str, int], dict[str, int]]:
    """What another request reads: requests and tokens by endpoint."""
    published = produce(producer, make_request("other"), make_state(), POOL).read(IN_FLIGHT_LOAD.of(""))
    return dict(published.requests), dict(published.tokens)


def dispatch(
    producer: InFlightLoadProducer,
    result: SchedulingResult,
    prompt: str | None = PROMPT_OF_100_TOKENS,
    matches: PrefixMatches | None = None,
) -> CycleState:
    state = make_state(prompt)
    if matches is not None:
        state.write(PREFIX_MATCHES.of(""), matches)
    produce(producer, REQUEST, state, POOL)
    producer.pre_request(REQUEST, state, result)
    return state


def test_a_request_counts_until_its_end_and_its_prompt_until_the_first_piece_of_the_response() -> None:
    producer = InFlightLoadProducer()
    state = dispatch(producer, decided(A))
    assert load(producer) == ({"default/a": 1}, {"default/a": 100})
    producer.response_body(REQUEST, state, response_of(A), FIRST)
    assert load(producer) == ({"default/a": 1}, {})
    producer.response_body(REQUEST, state, response_of(A), LATER)
    producer.response_complete(REQUEST, state, ended(A))
    assert load(producer) == ({}, {})


def test_tokens_in_flight_can_be_read_by_endpoint() -> None:
    producer = InFlightLoadProducer(name=PluginName("mine"))
    assert list(producer.readings()) == []
    dispatch(producer, decided(A))
    labels = {"endpoint_name": "a", "namespace": "default", "producer_name": "mine"}
    assert list(producer.readings()) == [
        GaugeReading("inflight_tokens", "Tokens on their way to an endpoint.", 100, labels)
    ]


def test_without_a_response_body_the_end_releases_everything_once() -> None:
    producer = InFlightLoadProducer()
    other = dispatch(producer, decided(A))
    state = dispatch(producer, decided(A))
    assert load(producer) == ({"default/a": 2}, {"default/a": 200})
    producer.response_complete(REQUEST, state, ended(A))
    producer.response_complete(REQUEST, state, ended(A))
    assert load(producer) == ({"default/a": 1}, {"default/a": 100})
    producer.response_complete(REQUEST, other, ended(A))
    assert load(producer) == ({}, {})


def test_a_prefill_endpoint_is_released_by_the_first_piece_of_the_response() -> None:
    producer = InFlightLoadProducer()
    state = dispatch(producer, decided(A, ("prefill", B), ("again", A)))
    assert load(producer) == ({"default/a": 1, "default/b": 1}, {"default/a": 100, "default/b": 100})
    producer.response_body(REQUEST, state, response_of(A), FIRST)
    assert load(producer) == ({"default/a": 1}, {})


def test_only_tokens_that_are_not_cached_count() -> None:
    producer = InFlightLoadProducer()
    state = dispatch(producer, decided(A, ("prefill", B)), matches=PrefixMatches({"default/a": 1}, 2, 64))
    uncached = state.read(UNCACHED_REQUEST_TOKENS.of(""))
    assert [uncached.at(endpoint.name) for endpoint in POOL] == [36, 100, 100]
    assert load(producer)[1] == {"default/a": 36, "default/b": 100}


@pytest.mark.parametrize(
    ("producer", "asked", "tokens"),
    [
        pytest.param(InFlightLoadProducer(), None, 100, id="off"),
        pytest.param(InFlightLoadProducer(True), None, 250, id="one and a half times the prompt"),
        pytest.param(InFlightLoadProducer(True, 0.5), None, 150, id="another ratio"),
        pytest.param(InFlightLoadProducer(True, 1.5, 30), None, 130, id="at most what is configured"),
        pytest.param(InFlightLoadProducer(True, 1.5, 30), 20, 120, id="at most what the request allows"),
        pytest.param(InFlightLoadProducer(True), -5, 100, id="a request that allows less than nothing"),
    ],
)
def test_estimated_output_counts_until_the_end(producer: InFlightLoadProducer, asked: int | None, tokens: int) -> None:
    request = replace(REQUEST, max_output_tokens=asked)
    state = produce(producer, request, make_state(PROMPT_OF_100_TOKENS), POOL)
    producer.pre_request(request, state, decided(A, ("prefill", A)))
    assert load(producer)[1] == {"default/a": tokens}
    producer.response_body(request, state, response_of(A), FIRST)
    assert load(producer)[1].get("default/a", 0) == tokens - 100
    producer.response_complete(request, state, ended(A))
    assert load(producer) == ({}, {})


def test_a_request_without_a_prompt_or_data_counts_as_a_request() -> None:
    producer = InFlightLoadProducer()
    state = make_state()
    producer.pre_request(REQUEST, state, decided(A))
    assert load(producer) == ({"default/a": 1}, {})
    producer.response_complete(REQUEST, state, ended(A))
    producer.response_complete(REQUEST, make_state(), ended(A))
    producer.response_body(REQUEST, make_state(), response_of(A), FIRST)
    assert load(producer) == ({}, {})


def test_what_is_dispatched_after_a_request_read_the_load_still_counts() -> None:
    producer = InFlightLoadProducer()
    state = produce(producer, REQUEST, make_state(), POOL)
    dispatch(producer, decided(A))
    assert state.read(IN_FLIGHT_LOAD.of("")).requests == {"default/a": 1}


def test_two_producers_account_for_one_request_apart() -> None:
    one, two = InFlightLoadProducer(), InFlightLoadProducer(name=PluginName("two"))
    state = make_state(PROMPT_OF_100_TOKENS)
    for producer in (one, two):
        producer.pre_request(REQUEST, state, decided(A))
    one.response_complete(REQUEST, state, ended(A))
    assert load(one) == ({}, {})
    assert produce(two, REQUEST, state, POOL).read(IN_FLIGHT_LOAD.of("two")).requests == {"default/a": 1}


@pytest.mark.parametrize(
    ("ratio", "most", "message"),
    [
        pytest.param(-1.0, None, "output_ratio must be at least 0 and finite, got -1.0", id="negative ratio"),
        pytest.param(float("nan"), None, "output_ratio must be at least 0 and finite, got nan", id="no number"),
        pytest.param(1.0, -1, "max_estimated_output_tokens must be at least 0, got -1", id="negative limit"),
    ],
)
def test_parameters_out_of_range_are_refused(ratio: float, most: int | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        InFlightLoadProducer(True, ratio, most)


@given(endpoints=endpoint_lists(), prompt=st.none() | st.text(max_size=500))
def test_the_producer_keeps_its_contract(endpoints: list[Endpoint], prompt: str | None) -> None:
    check_producer(InFlightLoadProducer(), make_request(), make_state(prompt), endpoints)


@dataclass
class OnItsWay:
    state: CycleState
    endpoint: Endpoint
    prefill: Endpoint | None
    seen_first: bool = False


class AnyInterleaving(RuleBasedStateMachine):
    """Requests that start, answer and end in any order; every end is told once or, wrongly, twice."""

    def __init__(self) -> None:
        super().__init__()
        self.producer = InFlightLoadProducer(add_estimated_output_tokens=True)
        self.running: list[OnItsWay] = []

    @rule(
        endpoint=st.sampled_from(POOL),
        prefill=st.none() | st.sampled_from(POOL),
        size=st.integers(0, 2000),
        matched=st.integers(0, 8),
    )
    def start(self, endpoint: Endpoint, prefill: Endpoint | None, size: int, matched: int) -> None:
        others = () if prefill is None else (("prefill", prefill),)
        state = dispatch(
            self.producer, decided(endpoint, *others), "x" * size, PrefixMatches({"default/a": matched}, 8, 64)
        )
        self.running.append(OnItsWay(state, endpoint, prefill))

    @precondition(lambda self: self.running)
    @rule(data=st.data(), chunk=st.sampled_from([FIRST, LATER]))
    def answer(self, data: st.DataObject, chunk: ResponseChunk) -> None:
        request = self.running[data.draw(st.integers(0, len(self.running) - 1))]
        self.producer.response_body(REQUEST, request.state, response_of(request.endpoint), chunk)
        request.seen_first = True

    @precondition(lambda self: self.running)
    @rule(data=st.data(), twice=st.booleans())
    def end(self, data: st.DataObject, twice: bool) -> None:
        request = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        for _ in range(1 + twice):
            self.producer.response_complete(REQUEST, request.state, ended(request.endpoint))
        self.producer.response_body(REQUEST, request.state, response_of(request.endpoint), LATER)

    @invariant()
    def counts_are_never_negative_and_never_kept_at_zero(self) -> None:
        requests, tokens = load(self.producer)
        assert all(count > 0 for count in (*requests.values(), *tokens.values()))

    @invariant()
    def requests_are_those_that_run(self) -> None:
        expected: dict[str, int] = {}
        for request in self.running:
            names = {request.endpoint.name}
            if request.prefill is not None and not request.seen_first:
                names.add(request.prefill.name)
            for name in names:
                expected[name] = expected.get(name, 0) + 1
        assert load(self.producer)[0] == expected

    def teardown(self) -> None:
        for request in self.running:
            self.producer.response_complete(REQUEST, request.state, ended(request.endpoint))
        assert load(self.producer) == ({}, {})


TestAnyInterleaving = AnyInterleaving.TestCase
TestAnyInterleaving.settings = settings(max_examples=60, stateful_step_count=30)
