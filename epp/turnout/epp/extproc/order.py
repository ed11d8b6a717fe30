"""The order in which the proxy may speak about one side of an HTTP exchange."""

from enum import Enum, auto

from turnout.epp.extproc.values import BodyMode, BodyReceived, Event, HeadersReceived, Side
from turnout.framework import ProtocolError

# In these modes Envoy sends one body message, which may hold less than the whole body.
_SINGLE_MESSAGE = (BodyMode.BUFFERED, BodyMode.BUFFERED_PARTIAL)


class _Stage(Enum):
    BEFORE_HEADERS = auto()
    OPEN = auto()
    BODY_SEEN = auto()
    ENDED = auto()


class SideOrder:
    """Checks one side: headers, then body messages as the mode has them, then trailers unless the end came."""

    def __init__(self, side: Side, mode: BodyMode) -> None:
        self._side = side
        self._mode = mode
        self._stage = _Stage.BEFORE_HEADERS

    @property
    def begun(self) -> bool:
        """Headers have come."""
        return self._stage is not _Stage.BEFORE_HEADERS

    @property
    def ended(self) -> bool:
        """The last message of this side has come."""
        return self._stage is _Stage.ENDED

    def check(self, event: Event) -> None:
        """Takes note of the next message.

        Raises:
            ProtocolError: it must not come here.
        """
        match event:
            case HeadersReceived(end=end):
                self._check_headers()
                self._stage = _Stage.ENDED if end else _Stage.OPEN
            case BodyReceived(end=end):
                self._check_body()
                self._stage = _Stage.ENDED if end else _Stage.BODY_SEEN
            case _:
                self._check_open("trailers")
                self._stage = _Stage.ENDED

    def _check_headers(self) -> None:
        if self.begun:
            raise ProtocolError(f"{self._side} headers came twice")

    def _check_body(self) -> None:
        self._check_open("a body message")
        if self._mode is BodyMode.NONE:
            raise ProtocolError(f"a {self._side} body message came in mode NONE")
        if self._stage is _Stage.BODY_SEEN and self._mode in _SINGLE_MESSAGE:
            raise ProtocolError(f"a second {self._side} body message came in mode {self._mode.name}")

    def _check_open(self, what: str) -> None:
        if not self.begun:
            raise ProtocolError(f"{what} of the {self._side} came before its headers")
        if self.ended:
            raise ProtocolError(f"{what} of the {self._side} came after its end")
