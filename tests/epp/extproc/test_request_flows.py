import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.extproc.conversation import TRAILERS, Conversation, body, head
from epp.extproc.fakes import ROUTED, FakeExchange
from turnout.epp.extproc.request_flows import chunks, request_flow
from turnout.epp.extproc.session import SessionOptions
from turnout.epp.extproc.values import (
    BodyMode,
    BodyReply,
    ChunkReply,
    Event,
    HeadersReply,
    ImmediateReply,
    Mutation,
    Reply,
    Side,
    TrailersReply,
)
from turnout.epp.requests.exchange import RequestHead, Routed
from turnout.framework import Headers, ProtocolError, Refusal, RefusalKind

DESTINATION = {"x-gateway-destination-endpoint": "10.0.0.1:8000"}
PICKED = HeadersReply(Side.REQUEST, Mutation(DESTINATION), ROUTED)
PICKED_ONCE = HeadersReply(Side.REQUEST, Mutation({**DESTINATION, "x-turnout-single-attempt": "true"}), ROUTED)
PLAIN = HeadersReply(Side.REQUEST)
BODY_PICKED = BodyReply(Side.REQUEST, Mutation(DESTINATION), None, ROUTED)
UNCHANGED = BodyReply(Side.REQUEST)
TRAILERS_REPLY = TrailersReply(Side.REQUEST)


def echo(data: bytes, *, end: bool = True) -> ChunkReply:
    return ChunkReply(Side.REQUEST, data, end)


@pytest.mark.parametrize(
    ("mode", "events", "replies"),
    [
        pytest.param("FULL_DUPLEX_STREAMED", [head(end=True)], [PICKED], id="full duplex, no body"),
        pytest.param(
            "FULL_DUPLEX_STREAMED", [head(), body(b"ab", end=True)], [PICKED, echo(b"ab")], id="full duplex, one piece"
        ),
        pytest.param(
            "FULL_DUPLEX_STREAMED",
            [head(), body(b"a"), body(b"b"), body(b"", end=True)],
            [PICKED, echo(b"ab")],
            id="full duplex, an empty last piece",
        ),
        pytest.param(
            "FULL_DUPLEX_STREAMED", [head(), body(b"", end=True)], [PICKED, echo(b"")], id="full duplex, empty body"
        ),
        pytest.param(
            "FULL_DUPLEX_STREAMED",
            [head(), body(b"ab"), TRAILERS],
            [PICKED_ONCE, echo(b"ab", end=False), TRAILERS_REPLY],
            id="full duplex, trailers end the body",
        ),
        pytest.param(
            "FULL_DUPLEX_STREAMED", [head(), TRAILERS], [PICKED_ONCE, TRAILERS_REPLY], id="full duplex, only trailers"
        ),
        pytest.param("BUFFERED", [head(end=True)], [PICKED], id="buffered, no body"),
        pytest.param("BUFFERED", [head(), body(b"ab", end=True)], [PLAIN, BODY_PICKED], id="buffered, a body"),
        pytest.param(
            "BUFFERED",
            [head(), body(b"ab"), TRAILERS],
            [PLAIN, BODY_PICKED, TRAILERS_REPLY],
            id="buffered, a body and trailers",
        ),
        pytest.param(
            "BUFFERED",
            [head(), TRAILERS],
            [PLAIN, TrailersReply(Side.REQUEST, ROUTED)],
            id="buffered, only trailers: the decision is in the metadata",
        ),
        pytest.param(
            "BUFFERED_PARTIAL", [head(), body(b"ab", end=True)], [PLAIN, BODY_PICKED], id="buffered partial, whole"
        ),
        pytest.param("BUFFERED_PARTIAL", [head(), body(b"ab")], [PLAIN, BODY_PICKED], id="buffered partial, cut"),
        pytest.param(
            "BUFFERED_PARTIAL",
            [head(), body(b"ab"), TRAILERS],
            [PLAIN, BODY_PICKED, TRAILERS_REPLY],
            id="buffered partial, trailers",
        ),
        pytest.param("STREAMED", [head(end=True)], [PICKED], id="streamed, no body"),
        pytest.param(
            "STREAMED",
            [head(), body(b"a"), body(b"b", end=True)],
            [PICKED, UNCHANGED, UNCHANGED],
            id="streamed, two pieces",
        ),
        pytest.param(
            "STREAMED", [head(), body(b"a"), TRAILERS], [PICKED, UNCHANGED, TRAILERS_REPLY], id="streamed, trailers"
        ),
        pytest.param("NONE", [head()], [PICKED], id="headers only"),
        pytest.param("NONE", [head(), TRAILERS], [PICKED, TRAILERS_REPLY], id="headers and trailers only"),
    ],
)
def test_each_message_gets_its_answer(mode: str, events: list[Event], replies: list[Reply]) -> None:
    conversation = Conversation(mode)
    assert conversation.say(*events) == replies
    assert not conversation.rules.sides[Side.REQUEST].owed


@pytest.mark.parametrize(
    ("mode", "events", "shown", "complete"),
    [
        pytest.param("FULL_DUPLEX_STREAMED", [head(end=True)], None, None, id="full duplex, no body"),
        pytest.param("FULL_DUPLEX_STREAMED", [head(), body(b"a"), body(b"b", end=True)], b"ab", True, id="pieces"),
        pytest.param("FULL_DUPLEX_STREAMED", [head(), body(b"ab"), TRAILERS], b"ab", True, id="trailers"),
        pytest.param("FULL_DUPLEX_STREAMED", [head(), TRAILERS], None, None, id="only trailers"),
        pytest.param("BUFFERED", [head(), body(b"ab")], b"ab", True, id="buffered before trailers"),
        pytest.param("BUFFERED_PARTIAL", [head(), body(b"ab", end=True)], b"ab", True, id="partial with an end"),
        pytest.param("BUFFERED_PARTIAL", [head(), body(b"ab")], b"ab", False, id="partial without an end"),
        pytest.param(
            "BUFFERED_PARTIAL",
            [head(("content-length", "2")), body(b"ab")],
            b"ab",
            True,
            id="partial of the declared length",
        ),
        pytest.param("STREAMED", [head(), body(b"ab", end=True)], None, None, id="streamed"),
        pytest.param("NONE", [head()], None, None, id="headers only"),
    ],
)
def test_the_handler_is_shown_the_body_as_far_as_it_is_known(
    mode: str, events: list[Event], shown: bytes | None, complete: bool | None
) -> None:
    conversation = Conversation(mode)
    conversation.say(*events)
    (route,) = conversation.asked
    assert conversation.shown == shown
    assert (route.body.complete if route.body else None) is complete


@pytest.mark.parametrize(
    ("mode", "replies"),
    [
        pytest.param(
            "FULL_DUPLEX_STREAMED",
            [HeadersReply(Side.REQUEST, Mutation({**DESTINATION, "content-length": "3"})), echo(b"new")],
            id="full duplex",
        ),
        pytest.param(
            "BUFFERED",
            [PLAIN, BodyReply(Side.REQUEST, Mutation({**DESTINATION, "content-length": "3"}), b"new")],
            id="buffered",
        ),
        pytest.param(
            "BUFFERED_PARTIAL",
            [PLAIN, BodyReply(Side.REQUEST, Mutation({**DESTINATION, "content-length": "3"}), b"new")],
            id="buffered partial",
        ),
    ],
)
def test_a_replaced_body_is_sent_with_its_length(mode: str, replies: list[Reply]) -> None:
    conversation = Conversation(mode, outcome=FakeExchange(Routed("10.0.0.1:8000", "lease-1", body=b"new")))
    got = conversation.say(head(("content-length", "5")), body(b"hello", end=True))
    without_metadata = [
        type(reply)(reply.side, reply.mutation) if isinstance(reply, HeadersReply) else reply for reply in got
    ]
    assert [
        BodyReply(reply.side, reply.mutation, reply.body) if isinstance(reply, BodyReply) else reply
        for reply in without_metadata
    ] == replies


@pytest.mark.parametrize(
    ("mode", "events", "problem"),
    [
        pytest.param("FULL_DUPLEX_STREAMED", [head(end=True)], "a request without one", id="there is none"),
        pytest.param("BUFFERED", [head(end=True)], "not shown whole", id="buffered, there is none"),
        pytest.param("BUFFERED_PARTIAL", [head(), body(b"a")], "not shown whole", id="it was cut"),
        pytest.param("STREAMED", [head()], "not shown", id="it passes by"),
        pytest.param("NONE", [head()], "not shown", id="it is not seen"),
    ],
)
def test_replacing_a_body_that_was_not_seen_is_an_error(mode: str, events: list[Event], problem: str) -> None:
    conversation = Conversation(mode, outcome=FakeExchange(Routed("10.0.0.1:8000", "lease-1", body=b"new")))
    with pytest.raises(ValueError, match=problem):
        conversation.say(*events)


def test_buffered_headers_are_cleaned_of_control_headers_before_the_decision() -> None:
    conversation = Conversation("BUFFERED", patient=True)
    forged = head(("x-gateway-destination-endpoint", "6.6.6.6:6"), ("x-slo-ttft-ms", "5"), ("accept", "*/*"))
    assert conversation.say(forged) == [
        HeadersReply(Side.REQUEST, Mutation({}, ("x-gateway-destination-endpoint", "x-slo-ttft-ms")))
    ]


@pytest.mark.parametrize(
    ("mode", "events", "replies"),
    [
        pytest.param("BUFFERED", [head(), body(b"a"), TRAILERS], [BODY_PICKED, TRAILERS_REPLY], id="buffered"),
        pytest.param(
            "STREAMED",
            [head(), body(b"a"), body(b"b"), TRAILERS],
            [PICKED, UNCHANGED, UNCHANGED, TRAILERS_REPLY],
            id="streamed",
        ),
        pytest.param("NONE", [head(), TRAILERS], [PICKED, TRAILERS_REPLY], id="headers only"),
    ],
)
def test_what_comes_before_the_decision_is_answered_after_it_in_order(
    mode: str, events: list[Event], replies: list[Reply]
) -> None:
    conversation = Conversation(mode, patient=True)
    assert conversation.say(*events) == ([PLAIN] if mode == "BUFFERED" else [])
    assert conversation.decide() == replies


@pytest.mark.parametrize(
    ("mode", "pieces"),
    [
        pytest.param("FULL_DUPLEX_STREAMED", [body(b"1234"), body(b"5")], id="full duplex, the piece over it"),
        pytest.param("FULL_DUPLEX_STREAMED", [body(b"12345", end=True)], id="full duplex, in one piece"),
        pytest.param("BUFFERED", [body(b"12345", end=True)], id="buffered"),
        pytest.param("BUFFERED_PARTIAL", [body(b"12345")], id="buffered partial"),
    ],
)
def test_a_body_over_the_limit_is_refused_and_nothing_said_after_it(mode: str, pieces: list[Event]) -> None:
    conversation = Conversation(mode, options=SessionOptions(max_request_body_bytes=4))
    replies = conversation.say(head(), *pieces)
    refusal = Refusal(RefusalKind.TOO_LARGE, "the request body is larger than 4 bytes")
    assert replies[-1] == ImmediateReply(refusal)
    assert conversation.asked == []
    assert conversation.session.done
    assert conversation.say(body(b"more"), TRAILERS) == []


def test_a_body_of_exactly_the_limit_is_served() -> None:
    conversation = Conversation("FULL_DUPLEX_STREAMED", options=SessionOptions(max_request_body_bytes=4))
    assert conversation.say(head(), body(b"1234", end=True)) == [PICKED, echo(b"1234")]


@pytest.mark.parametrize(
    ("size", "sizes"),
    [(0, [0]), (1, [1]), (62_000, [62_000]), (62_001, [62_000, 1]), (124_001, [62_000, 62_000, 1])],
)
def test_a_body_is_cut_at_62000_bytes_and_only_the_last_piece_ends_it(size: int, sizes: list[int]) -> None:
    pieces = list(chunks(Side.REQUEST, b"x" * size, end=True))
    assert [len(piece.data) for piece in pieces] == sizes
    assert [piece.end for piece in pieces] == [False] * (len(sizes) - 1) + [True]


def test_nothing_that_does_not_end_is_no_piece() -> None:
    assert list(chunks(Side.REQUEST, b"", end=False)) == []


def test_the_grpc_mode_is_refused() -> None:
    with pytest.raises(ProtocolError, match="request body mode GRPC is not supported"):
        request_flow(BodyMode.GRPC, 1)


@given(pieces=st.lists(st.binary(max_size=100), max_size=20), trailers=st.booleans())
def test_the_decision_and_the_echo_do_not_depend_on_the_chunking(pieces: list[bytes], trailers: bool) -> None:
    whole = b"".join(pieces)
    conversation = Conversation("FULL_DUPLEX_STREAMED")
    last: list[Event] = [TRAILERS] if trailers else [body(b"", end=True)]
    replies = conversation.say(head(), *(body(piece) for piece in pieces), *last)
    assert replies[0] == (PICKED_ONCE if trailers else PICKED)
    assert (conversation.shown or b"") == whole
    assert conversation.rules.sides[Side.REQUEST].echoed == whole
    assert not conversation.rules.sides[Side.REQUEST].owed


def test_a_body_in_tiny_pieces_costs_no_more_than_its_bytes_and_nothing_after_the_decision() -> None:
    flow, request = request_flow(BodyMode.FULL_DUPLEX_STREAMED, 1_000_000), RequestHead(Headers())
    tracemalloc.start()
    try:
        for number in range(100_000):
            flow.body(request, (number % 65_536).to_bytes(2, "little"), end=False)
        flow.body(request, b"", end=True)
        _, most = tracemalloc.get_traced_memory()
        assert most < 1_000_000
        flow.decided(request, ROUTED)
        left, _ = tracemalloc.get_traced_memory()
        assert left < 100_000
    finally:
        tracemalloc.stop()
