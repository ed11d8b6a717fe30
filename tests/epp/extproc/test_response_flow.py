import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.extproc.conversation import (
    RESPONSE_TRAILERS,
    Conversation,
    head,
    response_body,
    response_head,
)
from epp.extproc.fakes import FakeExchange
from turnout.epp.extproc.response_flow import ResponseFlow
from turnout.epp.extproc.values import (
    BodyMode,
    BodyReply,
    ChunkReply,
    Event,
    HeadersReply,
    Mutation,
    Reply,
    Side,
    TrailersReply,
)
from turnout.framework import Headers, Termination

HEADERS = HeadersReply(Side.RESPONSE)
UNCHANGED = BodyReply(Side.RESPONSE)
TRAILERS = TrailersReply(Side.RESPONSE)


def chunk(data: bytes, *, end: bool = False) -> ChunkReply:
    return ChunkReply(Side.RESPONSE, data, end)


@pytest.mark.parametrize(
    ("mode", "events", "replies"),
    [
        pytest.param("NONE", [response_head()], [HEADERS], id="no bodies"),
        pytest.param("NONE", [response_head(), RESPONSE_TRAILERS], [HEADERS, TRAILERS], id="no bodies, trailers"),
        pytest.param(
            "STREAMED",
            [response_head(), response_body(b"a"), response_body(b"b", end=True)],
            [HEADERS, UNCHANGED, UNCHANGED],
            id="streamed",
        ),
        pytest.param(
            "STREAMED",
            [response_head(), response_body(b"a"), RESPONSE_TRAILERS],
            [HEADERS, UNCHANGED, TRAILERS],
            id="streamed, trailers",
        ),
        pytest.param("BUFFERED", [response_head(), response_body(b"a", end=True)], [HEADERS, UNCHANGED], id="buffered"),
        pytest.param(
            "BUFFERED",
            [response_head(), response_body(b"a"), RESPONSE_TRAILERS],
            [HEADERS, UNCHANGED, TRAILERS],
            id="buffered, trailers",
        ),
        pytest.param(
            "BUFFERED_PARTIAL", [response_head(), response_body(b"a")], [HEADERS, UNCHANGED], id="buffered partial"
        ),
        pytest.param(
            "FULL_DUPLEX_STREAMED",
            [response_head(), response_body(b"a"), response_body(b"", end=True)],
            [HEADERS, chunk(b"a"), chunk(b"", end=True)],
            id="full duplex",
        ),
        pytest.param(
            "FULL_DUPLEX_STREAMED",
            [response_head(), response_body(b"a"), RESPONSE_TRAILERS],
            [HEADERS, chunk(b"a"), TRAILERS],
            id="full duplex, trailers",
        ),
        pytest.param("FULL_DUPLEX_STREAMED", [response_head(end=True)], [HEADERS], id="full duplex, no body"),
    ],
)
def test_each_message_gets_its_answer(mode: str, events: list[Event], replies: list[Reply]) -> None:
    conversation = Conversation("NONE", mode)
    conversation.say(head(end=True))
    assert conversation.say(*events) == replies
    assert not conversation.rules.sides[Side.RESPONSE].owed


@pytest.mark.parametrize(
    ("mode", "events", "finished"),
    [
        pytest.param("STREAMED", [response_head(end=True)], True, id="headers that end it"),
        pytest.param("STREAMED", [response_head(), response_body(b"a")], False, id="a piece"),
        pytest.param("STREAMED", [response_head(), response_body(b"a", end=True)], True, id="the last piece"),
        pytest.param("STREAMED", [response_head(), response_body(b"a"), RESPONSE_TRAILERS], True, id="trailers"),
        pytest.param("BUFFERED", [response_head(), response_body(b"a")], True, id="a buffered body is whole"),
        pytest.param("BUFFERED_PARTIAL", [response_head(), response_body(b"a")], False, id="a cut one is not"),
        pytest.param("NONE", [response_head()], False, id="headers of a body that is not shown"),
    ],
)
def test_the_exchange_is_finished_when_the_response_ends(mode: str, events: list[Event], finished: bool) -> None:
    conversation = Conversation("NONE", mode)
    conversation.say(head(end=True), *events)
    assert conversation.exchange.finished == ([Termination.NATURAL] if finished else [])


def test_the_exchange_sees_status_and_every_value_of_a_header() -> None:
    conversation = Conversation("NONE", "NONE")
    conversation.say(head(end=True), response_head(("set-cookie", "a=1"), ("set-cookie", "b=2")))
    seen = conversation.exchange.seen_headers
    assert seen is not None
    assert seen.get(":status") == "200"
    assert seen.all("set-cookie") == ("a=1", "b=2")


@pytest.mark.parametrize(
    ("mode", "end", "removed"),
    [
        pytest.param("STREAMED", False, ("content-length",), id="streamed"),
        pytest.param("BUFFERED", False, ("content-length",), id="buffered"),
        pytest.param("NONE", False, (), id="a body that is not shown keeps its length"),
        pytest.param("STREAMED", True, (), id="so does the answer to HEAD"),
    ],
)
def test_the_length_goes_when_the_body_may_be_rewritten(mode: str, end: bool, removed: tuple[str, ...]) -> None:
    exchange = FakeExchange(rewrites_response=True, wanted_headers={"x-session-token": "t", ":status": "200"})
    conversation = Conversation("NONE", mode, outcome=exchange)
    conversation.say(head(end=True))
    replies = conversation.say(response_head(("content-length", "6"), end=end))
    assert replies == [HeadersReply(Side.RESPONSE, Mutation({"x-session-token": "t"}, removed))]


@pytest.mark.parametrize(
    ("mode", "replies"),
    [
        pytest.param("STREAMED", [BodyReply(Side.RESPONSE, body=b"a!")], id="streamed"),
        pytest.param("BUFFERED", [BodyReply(Side.RESPONSE, body=b"a!")], id="buffered"),
        pytest.param("FULL_DUPLEX_STREAMED", [chunk(b"a!", end=True)], id="full duplex"),
    ],
)
def test_a_replaced_body_is_sent(mode: str, replies: list[Reply]) -> None:
    conversation = Conversation("NONE", mode, outcome=FakeExchange(replace=(b"b", b"!")))
    conversation.say(head(end=True), response_head())
    assert conversation.say(response_body(b"ab", end=True)) == replies


class HoldsBack(FakeExchange):
    """Gives the body out at its end only."""

    def response_body(self, data: bytes, *, last: bool) -> bytes | None:
        super().response_body(data, last=last)
        return self.seen_body if last else b""


def test_what_was_held_back_comes_before_the_trailers() -> None:
    flow = ResponseFlow(BodyMode.FULL_DUPLEX_STREAMED, HoldsBack())
    assert flow.body(b"ab", end=False) == []
    assert flow.trailers() == [chunk(b"ab"), TRAILERS]


def test_bytes_that_no_message_can_carry_any_more_are_an_error() -> None:
    flow = ResponseFlow(BodyMode.STREAMED, HoldsBack())
    assert flow.body(b"ab", end=False) == [BodyReply(Side.RESPONSE, body=b"")]
    with pytest.raises(ValueError, match="2 bytes of a response body were held back"):
        flow.trailers()


@pytest.mark.parametrize("mode", list(BodyMode))
def test_without_an_exchange_the_response_passes(mode: BodyMode) -> None:
    flow = ResponseFlow(mode, None)
    assert flow.headers(Headers(), end=False) == [HEADERS]
    expected: Reply = chunk(b"a") if mode is BodyMode.FULL_DUPLEX_STREAMED else UNCHANGED
    assert flow.body(b"a", end=False) == [expected]
    assert flow.trailers() == [TRAILERS]


@given(pieces=st.lists(st.binary(max_size=100), max_size=20), trailers=st.booleans())
def test_a_response_is_echoed_byte_by_byte(pieces: list[bytes], trailers: bool) -> None:
    conversation = Conversation("NONE", "FULL_DUPLEX_STREAMED")
    last: Event = RESPONSE_TRAILERS if trailers else response_body(b"", end=True)
    conversation.say(head(end=True), response_head(), *(response_body(piece) for piece in pieces), last)
    assert conversation.rules.sides[Side.RESPONSE].echoed == b"".join(pieces)
    assert conversation.exchange.seen_body == b"".join(pieces)
    assert not conversation.rules.sides[Side.RESPONSE].owed
