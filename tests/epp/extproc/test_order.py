import pytest

from turnout.epp.extproc.order import SideOrder
from turnout.epp.extproc.values import BodyMode, BodyReceived, Event, HeadersReceived, Side, TrailersReceived
from turnout.framework import Headers, ProtocolError

H, HE = (HeadersReceived(Side.REQUEST, Headers(), end) for end in (False, True))
B, BE = (BodyReceived(Side.REQUEST, b"x", end) for end in (False, True))
T = TrailersReceived(Side.REQUEST)


@pytest.mark.parametrize(
    ("mode", "events"),
    [
        pytest.param("NONE", [HE], id="headers that end it"),
        pytest.param("NONE", [H, T], id="trailers in mode NONE"),
        pytest.param("STREAMED", [H, B, B, BE], id="several pieces"),
        pytest.param("STREAMED", [H, B, B, T], id="pieces and trailers"),
        pytest.param("STREAMED", [H, T], id="trailers only"),
        pytest.param("BUFFERED", [H, BE], id="one whole body"),
        pytest.param("BUFFERED", [H, B, T], id="one whole body and trailers"),
        pytest.param("BUFFERED_PARTIAL", [H, B], id="a cut body"),
        pytest.param("FULL_DUPLEX_STREAMED", [H, B, BE], id="full duplex"),
    ],
)
def test_a_legal_order_is_accepted(mode: str, events: list[Event]) -> None:
    order = SideOrder(Side.REQUEST, BodyMode[mode])
    for event in events:
        order.check(event)
    assert order.begun
    assert order.ended == (events[-1] is not B)


@pytest.mark.parametrize(
    ("mode", "events", "problem"),
    [
        pytest.param("STREAMED", [B], "a body message of the request came before its headers", id="body first"),
        pytest.param("STREAMED", [T], "trailers of the request came before its headers", id="trailers first"),
        pytest.param("STREAMED", [H, H], "request headers came twice", id="headers twice"),
        pytest.param("STREAMED", [H, BE, B], "a body message of the request came after its end", id="body after end"),
        pytest.param("STREAMED", [HE, B], "a body message of the request came after its end", id="unexpected body"),
        pytest.param("STREAMED", [H, BE, T], "trailers of the request came after its end", id="trailers after end"),
        pytest.param("STREAMED", [H, T, T], "trailers of the request came after its end", id="trailers twice"),
        pytest.param("NONE", [H, B], "a request body message came in mode NONE", id="body in mode NONE"),
        pytest.param("BUFFERED", [H, B, BE], "a second request body message came in mode BUFFERED", id="two bodies"),
        pytest.param(
            "BUFFERED_PARTIAL",
            [H, B, B],
            "a second request body message came in mode BUFFERED_PARTIAL",
            id="two partial bodies",
        ),
    ],
)
def test_an_illegal_order_is_a_protocol_error(mode: str, events: list[Event], problem: str) -> None:
    order = SideOrder(Side.REQUEST, BodyMode[mode])
    for event in events[:-1]:
        order.check(event)
    with pytest.raises(ProtocolError, match=problem):
        order.check(events[-1])
