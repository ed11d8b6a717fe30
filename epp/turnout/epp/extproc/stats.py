"""What the ext_proc server counts about its streams."""

from collections import Counter
from typing import Protocol


class StreamObserver(Protocol):
    """Hears of every stream. Implementations neither block nor raise."""

    def stream_started(self) -> None:
        """The proxy opened a stream."""
        ...

    def stream_ended(self, code: str, seconds: float) -> None:
        """A stream ended with this gRPC code, `OK` or `CANCELLED` for example, after so many seconds."""
        ...


class StreamStats:
    """Counts since the start of the process; tells an observer too, if there is one."""

    def __init__(self, observer: StreamObserver | None = None) -> None:
        self._observer = observer
        self.in_flight = 0
        self.ended: Counter[str] = Counter()
        """Streams by gRPC code."""

    def stream_started(self) -> None:
        """Counts a new stream."""
        self.in_flight += 1
        if self._observer is not None:
            self._observer.stream_started()

    def stream_ended(self, code: str, seconds: float) -> None:
        """Counts a stream's end; ``seconds`` is how long it was open."""
        self.in_flight -= 1
        self.ended[code] += 1
        if self._observer is not None:
            self._observer.stream_ended(code, seconds)
