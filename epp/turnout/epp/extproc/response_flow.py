"""What is answered to the messages of a response."""

from typing import Final

from turnout.epp.extproc.mutations import response_changes
from turnout.epp.extproc.request_flows import chunks
from turnout.epp.extproc.values import (
    UNCHANGED,
    BodyMode,
    BodyReply,
    HeadersReply,
    Reply,
    Side,
    TrailersReply,
)
from turnout.epp.requests.exchange import Exchange
from turnout.framework import Headers, Termination

_RESPONSE: Final = Side.RESPONSE


class ResponseFlow:
    """Shows the response to the exchange and passes its changes on; without an exchange all goes on unchanged."""

    def __init__(self, mode: BodyMode, exchange: Exchange | None) -> None:
        self._mode = mode
        self._exchange = exchange
        self.over = False
        """The end of the response has been seen."""
        self.begun = False
        """A piece of the body has been seen, and answered once the caller has sent what it was given."""

    @property
    def shows_end(self) -> bool:
        """Whether the proxy sends the end of a body in this mode; otherwise the stream's end has to stand for it."""
        return self._mode not in (BodyMode.NONE, BodyMode.BUFFERED_PARTIAL)

    def headers(self, headers: Headers, *, end: bool) -> list[Reply]:
        """Answers the head."""
        exchange = self._exchange
        if exchange is None:
            return [HeadersReply(_RESPONSE)]
        wanted = exchange.response_headers(headers)
        drop_length = exchange.rewrites_response and self._mode is not BodyMode.NONE and not end
        mutation = response_changes(headers, wanted, drop_length=drop_length)
        if end:
            self.over = True
            exchange.finish(Termination.NATURAL)
        return [HeadersReply(_RESPONSE, mutation)]

    def body(self, data: bytes, *, end: bool) -> list[Reply]:
        """Answers a piece of the body."""
        last = end or self._mode is BodyMode.BUFFERED
        self.begun = self.begun or bool(data)
        replacement = self._show(data, last=last)
        if self._mode is BodyMode.FULL_DUPLEX_STREAMED:
            return [*chunks(_RESPONSE, data if replacement is None else replacement, end=end)]
        return [BodyReply(_RESPONSE, UNCHANGED, replacement)]

    def trailers(self) -> list[Reply]:
        """Answers the trailers, after what the exchange still held back of the body.

        Raises:
            ValueError: there is no message left in this mode that could carry it.
        """
        rest = self._show(b"", last=True) or b""
        if self._mode is BodyMode.FULL_DUPLEX_STREAMED:
            return [*chunks(_RESPONSE, rest, end=False), TrailersReply(_RESPONSE)]
        if rest:
            raise ValueError(f"{len(rest)} bytes of a response body were held back past its last message")
        return [TrailersReply(_RESPONSE)]

    def _show(self, data: bytes, *, last: bool) -> bytes | None:
        if self._exchange is None or self.over:
            return None
        self.over = last
        replacement = self._exchange.response_body(data, last=last)
        if last:
            self._exchange.finish(Termination.NATURAL)
        return replacement
