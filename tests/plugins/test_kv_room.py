from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from plugins.generated import decided, ended, endpoint_lists
from plugins.queued import any_queued, queued
from turnout.framework import (
    PROMPT,
    CycleState,
    DispatchAccounting,
    DispatchGate,
    Endpoint,
    EndpointMetrics,
    EntryPolicy,
    QueuedRequest,
    QueueOutlook,
    Refusal,
    RefusalKind,
)
from turnout.framework.testing import check_filter, check_signatures, make_endpoint, make_request
from turnout.plugins.kv_room import KvRoomGate

OUTLOOK = QueueOutlook(None, ahead=0, fill=0.0, saturation=1.0)
REFUSED = Refusal(RefusalKind.UNAVAILABLE, "the client left")


def engine(
    name: str = "a",
    *,
    tokens: int = 1600,
    utilization: float = 0.0,
    running: int = 0,
    waiting: int = 0,
    observed_at: float = 0.0,
) -> Endpoint:
    """An engine whose cache holds so many tokens in blocks of 16, as its page said at that time."""
    metrics = EndpointMetrics(
        waiting_queue_size=waiting,
        running_requests=running,
        kv_cache_utilization=utilization,
        cache_block_size=16,
        cache_num_blocks=tokens // 16,
        observed_at={"kv_cache_utilization": observed_at},
    )
    return make_endpoint(name, metrics=metrics)


def of_size(tokens: int) -> QueuedRequest:
    """A request that needs so many tokens, the output included."""
    return queued(prompt_tokens=tokens, max_output_tokens=0)


def send(gate: KvRoomGate, item: QueuedRequest, endpoint: Endpoint, now: float, *others: tuple[str, Endpoint]) -> None:
    item.state.now = now
    gate.pre_request(item.request, item.state, decided(endpoint, *others))


def end(gate: KvRoomGate, item: QueuedRequest, endpoint: Endpoint) -> None:
    gate.response_complete(item.request, item.state, ended(endpoint))


GATE = KvRoomGate(expected_output_tokens=100, safety_margin=0.0)


@pytest.mark.parametrize(
    ("gate", "item", "pool", "fits"),
    [
        pytest.param(GATE, queued(prompt_tokens=1500), [engine()], True, id="prompt and answer just fit"),
        pytest.param(
            GATE, queued(prompt_tokens=1501), [engine(), engine("b", tokens=3200, utilization=0.5)], False, id="by one"
        ),
        pytest.param(
            GATE, queued(prompt_tokens=1501, max_output_tokens=99), [engine(utilization=0.0)], True, id="a short answer"
        ),
        pytest.param(GATE, of_size(800), [engine(utilization=0.5)], True, id="half of the cache is free"),
        pytest.param(GATE, of_size(801), [engine(utilization=0.5)], False, id="and not more"),
        pytest.param(GATE, of_size(801), [engine(utilization=0.5), engine("b")], True, id="one of two has room"),
        pytest.param(
            KvRoomGate(100, 0.25), of_size(401), [engine(utilization=0.5)], False, id="a margin of the whole cache"
        ),
        pytest.param(KvRoomGate(100, 0.25), of_size(400), [engine(utilization=0.5)], True, id="just before the margin"),
        pytest.param(GATE, of_size(10**9), [make_endpoint("x")], True, id="an engine that reports no size"),
        pytest.param(
            GATE, of_size(10**9), [make_endpoint("x"), engine(utilization=1.0)], True, id="one that does beside it"
        ),
        pytest.param(GATE, of_size(1601), [engine(utilization=1.0)], True, id="larger than every cache"),
        pytest.param(
            KvRoomGate(100, 0.25), of_size(1201), [engine(utilization=1.0)], True, id="larger than what is ever free"
        ),
        pytest.param(GATE, of_size(0), [engine(utilization=1.0)], True, id="nothing fits anywhere"),
        pytest.param(GATE, of_size(1), [], False, id="an empty pool"),
        pytest.param(GATE, of_size(1), [engine(running=10_000)], True, id="an unknown batch size"),
        pytest.param(
            KvRoomGate(max_running_requests=4), of_size(1), [engine(running=3)], True, id="a place in the batch"
        ),
        pytest.param(KvRoomGate(max_running_requests=4), of_size(1), [engine(running=4)], False, id="a full batch"),
        pytest.param(
            KvRoomGate(max_running_requests=4),
            of_size(1),
            [engine(running=2, waiting=2)],
            False,
            id="a batch that will be full",
        ),
        pytest.param(
            KvRoomGate(max_running_requests=4),
            of_size(1),
            [make_endpoint("x", running=4)],
            False,
            id="a full batch where no size is reported",
        ),
    ],
)
def test_a_request_fits_where_its_tokens_are_free(
    gate: KvRoomGate, item: QueuedRequest, pool: Sequence[Endpoint], fits: bool
) -> None:
    assert gate.fits(item, pool, 1.0) == fits


# --- what the page does not say yet ----------------------------------------------------------------------


def test_a_dispatch_takes_room_until_the_page_was_read_after_it() -> None:
    gate, sent = KvRoomGate(100, 0.0), of_size(1000)
    send(gate, sent, engine(), now=5.0)
    assert not gate.fits(of_size(601), [engine(observed_at=5.0)], 5.0)
    assert gate.fits(of_size(600), [engine(observed_at=5.0)], 5.0)
    assert gate.fits(of_size(601), [engine(observed_at=5.1)], 5.2)
    assert not gate.fits(of_size(601), [engine(observed_at=5.1, utilization=0.625)], 5.2)


def test_a_dispatch_that_waits_in_the_engine_takes_room_however_new_the_page_is() -> None:
    gate = KvRoomGate(100, 0.0)
    for now, tokens in ((5.0, 700), (6.0, 500)):
        send(gate, of_size(tokens), engine(), now=now)
    assert gate.fits(of_size(1600), [engine(observed_at=9.0)], 9.0)
    assert not gate.fits(of_size(1101), [engine(observed_at=9.0, waiting=1)], 9.0)
    assert gate.fits(of_size(1100), [engine(observed_at=9.0, waiting=1)], 9.0)
    assert not gate.fits(of_size(401), [engine(observed_at=9.0, waiting=100)], 9.0)
    assert gate.fits(of_size(400), [engine(observed_at=9.0, waiting=100)], 9.0)


def test_an_engine_whose_page_was_never_read_holds_all_that_was_sent() -> None:
    gate = KvRoomGate(100, 0.0)
    unread = make_endpoint("a", metrics=EndpointMetrics(cache_block_size=16, cache_num_blocks=100))
    send(gate, of_size(1000), unread, now=5.0)
    assert not gate.fits(of_size(601), [unread], 500.0)


def test_the_end_of_a_request_gives_its_room_back_once() -> None:
    gate, first, second = KvRoomGate(100, 0.0), of_size(1000), of_size(500)
    send(gate, first, engine(), now=1.0)
    send(gate, second, engine(), now=2.0)
    assert not gate.fits(of_size(1000), [engine()], 3.0)
    for _ in range(2):
        end(gate, first, engine())
    assert gate.fits(of_size(1100), [engine()], 3.0)
    assert not gate.fits(of_size(1101), [engine()], 3.0)


def test_a_request_that_nobody_sent_may_end() -> None:
    gate = KvRoomGate(100, 0.0)
    end(gate, of_size(1), engine())
    assert gate.fits(of_size(1600), [engine()], 1.0)


def test_a_dispatch_takes_room_at_the_first_endpoint_of_every_profile() -> None:
    gate, sent, pool = KvRoomGate(100, 0.0), of_size(1000), [engine("a"), engine("b")]
    send(gate, sent, pool[0], 1.0, ("prefill", pool[1]))
    assert not gate.fits(of_size(700), pool, 1.0)
    end(gate, sent, pool[0])
    assert gate.fits(of_size(700), pool, 1.0)


def test_dispatches_that_are_not_on_the_page_have_places_in_the_batch() -> None:
    gate = KvRoomGate(max_running_requests=4)
    send(gate, of_size(1), engine(), now=5.0)
    assert gate.fits(of_size(1), [engine(running=2, observed_at=4.0)], 6.0)
    assert not gate.fits(of_size(1), [engine(running=3, observed_at=4.0)], 6.0)
    assert gate.fits(of_size(1), [engine(running=3, observed_at=5.5)], 6.0)


# --- between the gate and the dispatch -------------------------------------------------------------------


def test_one_free_place_is_not_given_to_two() -> None:
    gate, first, second, pool = KvRoomGate(100, 0.0), of_size(1000), of_size(1000), [engine()]
    assert gate.fits(first, pool, 1.0)
    gate.request_dispatched(first, 0, 1.0)
    assert not gate.fits(second, pool, 1.0)
    send(gate, first, engine(), now=1.1)
    assert not gate.fits(second, pool, 1.1)
    end(gate, first, engine())
    assert gate.fits(second, pool, 1.2)


def test_requests_on_their_way_take_the_largest_rooms() -> None:
    gate, pool = KvRoomGate(100, 0.0), [engine("a"), engine("b", utilization=0.25), engine("c", utilization=0.5)]
    gate.request_dispatched(of_size(900), 0, 1.0)  # leaves 700 at a
    assert gate.fits(of_size(1200), pool, 1.0)
    gate.request_dispatched(of_size(1200), 0, 1.0)  # now this one is at a, and 300 are left at b
    assert [gate.fits(of_size(tokens), pool, 1.0) for tokens in (800, 801)] == [True, False]


def test_a_request_that_is_refused_on_its_way_gives_its_room_back() -> None:
    gate, gone = KvRoomGate(100, 0.0), of_size(1000)
    gate.request_dispatched(gone, 0, 1.0)
    gate.request_refused(gone.request, gone.state, REFUSED)
    assert gate.fits(of_size(1600), [engine()], 1.0)
    gate.request_refused(make_request(), CycleState(), REFUSED)  # one that was never let go


def test_a_request_that_is_lost_on_its_way_counts_for_30_seconds() -> None:
    gate = KvRoomGate(100, 0.0)
    gate.request_dispatched(of_size(1000), 0, 1.0)
    assert not gate.fits(of_size(1000), [engine()], 31.0)
    assert gate.fits(of_size(1000), [engine()], 31.1)


def test_requests_on_their_way_have_places_in_the_batch() -> None:
    gate, pool = KvRoomGate(max_running_requests=2), [engine("a", running=1), engine("b", running=1)]
    gate.request_dispatched(of_size(1), 0, 1.0)
    assert gate.fits(of_size(1), pool, 1.0)
    gate.request_dispatched(of_size(1), 0, 1.0)
    assert not gate.fits(of_size(1), pool, 1.0)


# --- as a filter and at the entrance ---------------------------------------------------------------------


def test_as_a_filter_it_keeps_the_endpoints_with_room_or_all() -> None:
    gate, pool = KvRoomGate(100, 0.0), [engine("a", utilization=0.9), engine("b"), engine("c", utilization=0.4)]
    kept = [
        [endpoint.name for endpoint in check_filter(gate, make_request(), of_size(tokens).state, pool)]
        for tokens in (700, 1000, 5000)
    ]
    assert kept == [["default/b", "default/c"], ["default/b"], ["default/a", "default/b", "default/c"]]


def test_a_prompt_that_no_cache_can_hold_is_refused_where_it_would_wait() -> None:
    gate = KvRoomGate(safety_margin=0.0)
    pool = [engine(), engine("b", tokens=3200)]
    assert gate.entry_refusal(of_size(5000), OUTLOOK, 1.0) is None  # no size is known yet
    gate.fits(of_size(1), pool, 1.0)
    message = "the prompt has about 3201 tokens; the largest KV cache of an endpoint holds 3200"
    assert gate.entry_refusal(of_size(3201), OUTLOOK, 1.0) == Refusal(RefusalKind.TOO_LARGE, message)
    assert gate.entry_refusal(of_size(3200), OUTLOOK, 1.0) is None
    gate.endpoints_changed(pool)
    assert gate.entry_refusal(of_size(3201), OUTLOOK, 1.0) is None


def test_nobody_is_refused_while_some_endpoint_does_not_say_how_large_it_is() -> None:
    gate = KvRoomGate()
    gate.fits(of_size(1), [engine(), make_endpoint("x")], 1.0)
    assert gate.entry_refusal(of_size(10**9), OUTLOOK, 1.0) is None


# --- parameters and contracts ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: KvRoomGate(-1), "expected_output_tokens must be at least 0, got -1"),
        (lambda: KvRoomGate(safety_margin=1.0), r"safety_margin must be within \[0, 1\), got 1.0"),
        (lambda: KvRoomGate(safety_margin=float("nan")), r"safety_margin must be within \[0, 1\), got nan"),
        (lambda: KvRoomGate(max_running_requests=-1), "max_running_requests must be at least 0, got -1"),
    ],
)
def test_parameters_out_of_range_are_refused(build: Callable[[], KvRoomGate], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


@given(endpoints=endpoint_lists(), item=any_queued, slots=st.integers(0, 20))
def test_the_gate_keeps_its_contracts(endpoints: list[Endpoint], item: QueuedRequest, slots: int) -> None:
    gate = KvRoomGate(max_running_requests=slots)
    check_signatures(gate)
    for served in (DispatchGate, DispatchAccounting, EntryPolicy):
        assert isinstance(gate, served)
    check_filter(gate, item.request, item.state, endpoints)
    assert gate.fits(item, endpoints, 1.0) == gate.fits(item, endpoints, 1.0)


class AnEngineBehindTheGate(RuleBasedStateMachine):
    """An engine that begins at once what it is sent, and whose page is read now and then.

    Whatever comes asks the gate, and goes when it fits. The engine is never sent more than it can hold.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gate = KvRoomGate(expected_output_tokens=0, safety_margin=0.0)
        self.now = 0.0
        self.page = engine()
        self.on_the_way: list[QueuedRequest] = []
        self.sent: list[QueuedRequest] = []

    @rule(tokens=st.integers(1, 900))
    def come(self, tokens: int) -> None:
        self.now += 0.01
        item = of_size(tokens)
        if self.gate.fits(item, [self.page], self.now):
            self.gate.request_dispatched(item, 0, self.now)
            self.on_the_way.append(item)

    @precondition(lambda self: self.on_the_way)
    @rule(data=st.data())
    def dispatch(self, data: st.DataObject) -> None:
        self.now += 0.01
        item = self.on_the_way.pop(data.draw(st.integers(0, len(self.on_the_way) - 1)))
        send(self.gate, item, self.page, self.now)
        self.sent.append(item)

    @precondition(lambda self: self.on_the_way)
    @rule()
    def leave(self) -> None:
        item = self.on_the_way.pop()
        self.gate.request_refused(item.request, item.state, REFUSED)

    @rule()
    def read_page(self) -> None:
        self.now += 0.01
        self.page = engine(utilization=self.held() / 1600, running=len(self.sent), observed_at=self.now)

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), twice=st.booleans())
    def end(self, data: st.DataObject, twice: bool) -> None:
        item = self.sent.pop(data.draw(st.integers(0, len(self.sent) - 1)))
        for _ in range(1 + twice):
            end(self.gate, item, self.page)

    @invariant()
    def the_engine_was_not_sent_more_than_it_holds(self) -> None:
        assert self.held() <= 1600

    @invariant()
    def nothing_is_remembered_but_what_is_on_its_way_or_in_flight(self) -> None:
        assert len(self.gate._let_go) == len(self.on_the_way)
        remembered = [len(dispatches) for dispatches in self.gate._dispatches.values()]
        assert remembered == ([len(self.sent)] if self.sent else [])

    def held(self) -> int:
        return sum(item.state.read(PROMPT).tokens for item in self.sent)


TestAnEngineBehindTheGate = AnEngineBehindTheGate.TestCase
TestAnEngineBehindTheGate.settings = settings(max_examples=60, stateful_step_count=40)
