import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.extproc.conversation import (
    RESPONSE_TRAILERS,
    TRAILERS,
    Conversation,
    body,
    head,
    response_body,
    response_head,
)
from epp.extproc.fakes import FakeExchange
from turnout.epp.extproc.session import ResponseView, Session, SessionOptions, StreamEnd
from turnout.epp.extproc.values import (
    BodyMode,
    BodyReply,
    Event,
    HeadersReply,
    ImmediateReply,
    ProtocolConfig,
    Received,
    RouteRequest,
    Side,
    TrailersReply,
)
from turnout.framework import ProtocolError, Refusal, RefusalKind, Termination

REFUSAL = Refusal(RefusalKind.UNAVAILABLE, "nothing is there")
REQUEST_MODES = ["NONE", "STREAMED", "BUFFERED", "BUFFERED_PARTIAL", "FULL_DUPLEX_STREAMED"]
BUFFERING = ["BUFFERED", "BUFFERED_PARTIAL", "FULL_DUPLEX_STREAMED"]


@pytest.mark.parametrize("mode", REQUEST_MODES)
def test_an_early_refusal_answers_the_headers(mode: str) -> None:
    conversation = Conversation(mode, early=REFUSAL)
    assert conversation.say(head()) == [ImmediateReply(REFUSAL)]
    assert conversation.session.done
    assert conversation.asked == []
    assert conversation.say(TRAILERS, response_head()) == []


@pytest.mark.parametrize("mode", BUFFERING)
def test_a_refusal_is_the_last_word(mode: str) -> None:
    conversation = Conversation(mode, outcome=REFUSAL)
    replies = conversation.say(head(), body(b"ab", end=True))
    assert replies[-1] == ImmediateReply(REFUSAL)
    assert conversation.session.done
    assert conversation.say(response_head()) == []
    conversation.session.closed(StreamEnd.CLOSED)


def test_a_request_without_announced_modes_is_taken_for_the_assumed_ones() -> None:
    session = Session(lambda _: None, SessionOptions(), None)
    assert session.receive(Received(head())) == []
    assumed = ProtocolConfig(BodyMode.NONE, BodyMode.NONE)
    session = Session(lambda _: None, SessionOptions(assumed=assumed), None)
    assert [type(action) for action in session.receive(Received(head()))] == [RouteRequest]


@pytest.mark.parametrize(("request_mode", "response_mode"), [("GRPC", "NONE"), ("NONE", "GRPC")])
def test_the_grpc_modes_are_refused(request_mode: str, response_mode: str) -> None:
    modes = ProtocolConfig(BodyMode[request_mode], BodyMode[response_mode])
    with pytest.raises(ProtocolError, match="body mode GRPC is not supported"):
        Session(lambda _: None, SessionOptions(), modes)


def test_an_observing_proxy_gets_no_answer() -> None:
    modes = ProtocolConfig(BodyMode.STREAMED, BodyMode.STREAMED)
    session = Session(lambda _: None, SessionOptions(), modes, observe_only=True)
    events: list[Event] = [head(), body(b"a", end=True), response_head(), response_body(b"b", end=True)]
    assert [session.receive(Received(event)) for event in events] == [[], [], [], []]
    assert not session.done


@pytest.mark.parametrize(
    ("hints", "subset"),
    [
        pytest.param([("10.0.0.1:80",), None], ("10.0.0.1:80",), id="with the headers"),
        pytest.param([None, ("10.0.0.1:80",)], ("10.0.0.1:80",), id="with the body"),
        pytest.param([("10.0.0.1:80",), ("10.0.0.2:80",)], ("10.0.0.1:80",), id="with both: the first"),
        pytest.param([None, ()], (), id="an empty one"),
        pytest.param([None, None], None, id="without"),
    ],
)
@pytest.mark.parametrize("mode", BUFFERING)
def test_the_subset_hint_is_taken_from_the_message_that_has_it(
    mode: str, hints: list[tuple[str, ...] | None], subset: tuple[str, ...] | None
) -> None:
    conversation = Conversation(mode)
    conversation.say(head(), subset=hints[0])
    conversation.say(body(b"ab", end=True), subset=hints[1])
    assert conversation.asked[0].head.subset == subset


@pytest.mark.parametrize(("end", "has_body"), [(True, False), (False, True)])
def test_the_head_says_whether_there_is_a_body_and_where_the_end_is_reported(end: bool, has_body: bool) -> None:
    conversation = Conversation("NONE", lease="l1")
    conversation.say(head(("x-request-id", "7"), end=end))
    request = conversation.asked[0].head
    assert request.has_body == has_body
    assert request.lease == "l1"
    assert conversation.session.request_id == "7"


@pytest.mark.parametrize("mode", REQUEST_MODES)
def test_an_answer_from_elsewhere_ends_the_search(mode: str) -> None:
    conversation = Conversation(mode, "STREAMED", patient=True)
    conversation.say(head())
    if mode in BUFFERING:
        conversation.say(body(b"ab", end=True))
    assert len(conversation.asked) == 1
    assert conversation.say(response_head()) == [HeadersReply(Side.RESPONSE)]
    assert conversation.abandoned
    assert not conversation.session.awaits_decision
    with pytest.raises(ProtocolError, match="nobody waits for"):
        conversation.session.decided(FakeExchange())
    assert conversation.say(response_body(b"x", end=True)) == [BodyReply(Side.RESPONSE)]


@pytest.mark.parametrize("mode", REQUEST_MODES)
def test_after_an_answer_from_elsewhere_the_rest_of_the_request_is_not_looked_at(mode: str) -> None:
    conversation = Conversation(mode, "NONE")
    conversation.say(response_head(end=True))
    assert conversation.say(head(), TRAILERS) == []
    assert conversation.asked == []


def test_a_response_may_begin_before_the_request_has_ended() -> None:
    conversation = Conversation("STREAMED", "STREAMED")
    conversation.say(head(), body(b"a"), response_head(), response_body(b"x"))
    assert conversation.say(body(b"b", end=True)) == [BodyReply(Side.REQUEST)]
    conversation.say(response_body(b"y", end=True))
    assert conversation.exchange.seen_body == b"xy"


@pytest.mark.parametrize(
    ("response_mode", "events", "in_log", "end", "finished"),
    [
        pytest.param("STREAMED", [], False, StreamEnd.CLOSED, [], id="before the response"),
        pytest.param("NONE", [], False, StreamEnd.CLOSED, [], id="before a response without bodies"),
        pytest.param(
            "NONE", [response_head()], False, StreamEnd.CLOSED, [Termination.NATURAL], id="the end is not shown"
        ),
        pytest.param("NONE", [response_head()], True, StreamEnd.CLOSED, [], id="the end comes by access log"),
        pytest.param(
            "BUFFERED_PARTIAL",
            [response_head(), response_body(b"a")],
            False,
            StreamEnd.CLOSED,
            [Termination.NATURAL],
            id="after a cut body",
        ),
        pytest.param(
            "STREAMED", [response_head(), response_body(b"a")], False, StreamEnd.CLOSED, [], id="amid the response"
        ),
        pytest.param("STREAMED", [response_head()], False, StreamEnd.FAILED, [Termination.ERROR], id="by our error"),
    ],
)
def test_the_exchange_is_told_of_the_end_of_the_stream(
    response_mode: str, events: list[Event], in_log: bool, end: StreamEnd, finished: list[Termination]
) -> None:
    conversation = Conversation("NONE", response_mode, lease="l1" if in_log else "")
    conversation.say(head(end=True), *events)
    conversation.session.closed(end)
    assert conversation.exchange.finished == finished
    assert conversation.exchange.closed.is_set()


@pytest.mark.parametrize(
    ("mode", "events", "done"),
    [
        pytest.param("NONE", [head()], [True], id="headers only"),
        pytest.param("BUFFERED", [head(), body(b"a", end=True)], [False, True], id="buffered"),
        pytest.param("BUFFERED", [head(), body(b"a")], [False, True], id="buffered, trailers to come"),
        pytest.param("FULL_DUPLEX_STREAMED", [head(), body(b"a"), TRAILERS], [False, False, True], id="full duplex"),
        pytest.param("STREAMED", [head(), body(b"a"), body(b"b", end=True)], [False, False, True], id="streamed"),
    ],
)
def test_a_stream_whose_end_is_reported_elsewhere_is_done_with_the_decision(
    mode: str, events: list[Event], done: list[bool]
) -> None:
    conversation = Conversation(mode, options=SessionOptions(view=ResponseView.NOTHING), lease="l1")
    seen = []
    for event in events:
        conversation.say(event)
        seen.append(conversation.session.done)
    assert seen == done


@pytest.mark.parametrize(
    ("view", "in_log"),
    [
        (ResponseView.ALL, True),
        (ResponseView.ALL, False),
        (ResponseView.FIRST_PIECE, True),
        (ResponseView.FIRST_PIECE, False),
        (ResponseView.NOTHING, False),
    ],
)
def test_a_stream_stays_open_for_the_response_or_its_end(view: ResponseView, in_log: bool) -> None:
    options = SessionOptions(view=view)
    conversation = Conversation("NONE", options=options, lease="l1" if in_log else "")
    conversation.say(head(end=True))
    assert not conversation.session.done


@pytest.mark.parametrize(
    ("mode", "rewrites", "in_log", "done"),
    [
        pytest.param("STREAMED", False, True, [False, False, True], id="the rest passes by itself"),
        pytest.param("STREAMED", False, False, [False, False, False], id="nobody else tells of the end"),
        pytest.param("STREAMED", True, True, [False, False, False], id="the rest is to be replaced, too"),
        pytest.param("FULL_DUPLEX_STREAMED", False, True, [False, False, False], id="the proxy keeps nothing"),
    ],
)
def test_a_stream_is_done_with_the_first_piece_where_that_is_all_that_anybody_wants(
    mode: str, rewrites: bool, in_log: bool, done: list[bool]
) -> None:
    options = SessionOptions(view=ResponseView.FIRST_PIECE)
    conversation = Conversation("BUFFERED", mode, options=options, lease="l1" if in_log else "")
    conversation.exchange.rewrites_response = rewrites
    conversation.say(head(), body(b"a", end=True))
    seen = []
    for event in (response_head(), response_body(b""), response_body(b"x")):
        conversation.say(event)
        seen.append(conversation.session.done)
    assert seen == done


EVICTED = Refusal(RefusalKind.RESOURCE_EXHAUSTED, "make room", "evicted")


@pytest.mark.parametrize(
    ("modes", "events"),
    [
        pytest.param(("NONE", "NONE"), [head(end=True)], id="after the decision"),
        pytest.param(("STREAMED", "STREAMED"), [head(), body(b"a")], id="while the request's body still arrives"),
        pytest.param(("NONE", "NONE"), [head(end=True), response_head()], id="after the head of a response"),
        pytest.param(
            ("FULL_DUPLEX_STREAMED", "FULL_DUPLEX_STREAMED"),
            [head(), body(b"a", end=True), response_head(), response_body(b"a")],
            id="amid the response",
        ),
        pytest.param(
            ("NONE", "BUFFERED_PARTIAL"), [head(end=True), response_head(), response_body(b"a")], id="after a cut body"
        ),
    ],
)
def test_an_eviction_is_the_last_word_to_the_client(modes: tuple[str, str], events: list[Event]) -> None:
    conversation = Conversation(*modes)
    conversation.say(*events)
    assert conversation.evict(EVICTED) == [ImmediateReply(EVICTED)]
    assert conversation.session.done
    assert conversation.say(response_body(b"late", end=True)) == []
    assert conversation.evict(EVICTED) == []
    conversation.session.closed(StreamEnd.CLOSED)
    assert conversation.exchange.finished == [Termination.EVICTED]


@pytest.mark.parametrize(
    ("events", "outcome"),
    [
        pytest.param([], FakeExchange(), id="before the request"),
        pytest.param([head()], FakeExchange(), id="before the decision"),
        pytest.param([head(), body(b"a", end=True)], REFUSAL, id="after a refusal"),
        pytest.param(
            [head(), body(b"a", end=True), response_head(end=True)],
            FakeExchange(),
            id="after a head that ends it",
        ),
        pytest.param(
            [head(), body(b"a", end=True), response_head(), response_body(b"b", end=True)],
            FakeExchange(),
            id="after the last piece",
        ),
        pytest.param(
            [head(), body(b"a", end=True), response_head(), response_body(b"b"), RESPONSE_TRAILERS],
            FakeExchange(),
            id="after the trailers",
        ),
    ],
)
def test_there_is_nothing_to_evict(events: list[Event], outcome: FakeExchange | Refusal) -> None:
    conversation = Conversation("BUFFERED", "STREAMED", outcome=outcome)
    conversation.say(*events)
    assert conversation.evict(EVICTED) == []
    assert isinstance(outcome, Refusal) or Termination.EVICTED not in outcome.finished


@pytest.mark.parametrize(("mode", "end"), [("NONE", True), ("BUFFERED", True), ("STREAMED", False)])
def test_a_stream_stays_open_for_an_eviction_only(mode: str, end: bool) -> None:
    options = SessionOptions(view=ResponseView.NOTHING)
    conversation = Conversation(mode, options=options, lease="l1", outcome=FakeExchange(evictable=True))
    conversation.say(head(), *([body(b"a", end=end)] if mode != "NONE" else []))
    assert not conversation.session.done
    assert conversation.session.said_all is end
    assert conversation.say(response_head(), RESPONSE_TRAILERS) == [
        HeadersReply(Side.RESPONSE),
        TrailersReply(Side.RESPONSE),
    ]


@pytest.mark.parametrize(
    ("view", "in_log"), [(ResponseView.ALL, True), (ResponseView.ALL, False), (ResponseView.NOTHING, False)]
)
def test_a_stream_that_the_response_needs_is_open_for_more_than_an_eviction(view: ResponseView, in_log: bool) -> None:
    options = SessionOptions(view=view)
    exchange = FakeExchange(evictable=True)
    conversation = Conversation("NONE", options=options, lease="l1" if in_log else "", outcome=exchange)
    conversation.say(head(end=True))
    assert not conversation.session.said_all


KINDS: list[Event] = [
    head(),
    head(end=True),
    body(b"abc"),
    body(b"", end=True),
    TRAILERS,
    response_head(),
    response_head(end=True),
    response_body(b"xyz"),
    response_body(b"", end=True),
    RESPONSE_TRAILERS,
]
OUTCOMES = ["exchange", "rewriting exchange", "refusal"]


def outcome(name: str) -> FakeExchange | Refusal:
    if name == "refusal":
        return REFUSAL
    return FakeExchange(replace=(b"y", b"")) if name == "rewriting exchange" else FakeExchange()


@given(
    modes=st.tuples(st.sampled_from(REQUEST_MODES), st.sampled_from(REQUEST_MODES)),
    events=st.lists(st.sampled_from(KINDS), max_size=12),
    outcome_name=st.sampled_from(OUTCOMES),
    delay=st.none() | st.integers(0, 5),
    evicted_after=st.none() | st.integers(0, 12),
)
def test_whatever_comes_envoy_gets_legal_answers_or_a_protocol_error(
    modes: tuple[str, str], events: list[Event], outcome_name: str, delay: int | None, evicted_after: int | None
) -> None:
    conversation = Conversation(*modes, outcome=outcome(outcome_name), patient=delay is not None)
    waited = 0
    end = StreamEnd.CLOSED
    for number, event in enumerate(events):
        if number == evicted_after:
            conversation.evict(EVICTED)
        try:
            conversation.say(event)
        except ProtocolError:
            # The stream ends here; a decision that is still being made is withdrawn, not delivered.
            end = StreamEnd.FAILED
            break
        waited += conversation.session.awaits_decision
        if conversation.session.awaits_decision and waited > (delay or 0):
            conversation.decide()
    if end is StreamEnd.CLOSED and conversation.session.awaits_decision:
        conversation.decide()
    assert len(conversation.asked) <= 1
    conversation.session.closed(end)


def test_every_legal_short_request_is_answered_in_every_mode() -> None:
    endings: list[list[Event]] = [[head(end=True)], [head(), TRAILERS], [head(), body(b"ab"), TRAILERS]]
    for mode, events in itertools.product(REQUEST_MODES, endings):
        if mode == "NONE" and len(events) == 3:
            continue
        conversation = Conversation(mode)
        conversation.say(*events)
        assert not conversation.rules.sides[Side.REQUEST].owed
        assert len(conversation.asked) == 1
