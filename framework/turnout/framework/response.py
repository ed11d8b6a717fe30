"""What plugins learn from a response."""

from dataclasses import dataclass
from enum import StrEnum

from turnout.framework.endpoint import Endpoint
from turnout.framework.request import Headers


class Termination(StrEnum):
    """Why a request ended."""

    NATURAL = "natural"
    CLIENT_DISCONNECT = "client-disconnect"
    EVICTED = "evicted"
    ERROR = "error"
    LOST = "lost"
    """Nobody reported its end, so that it was given up; it may have been answered, or go on."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts as the engine reports them; ``cached_tokens`` is None when it does not say."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int | None = None

    @property
    def total_tokens(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class Response:
    """The head of a response: HTTP status (0 if the proxy does not say) and headers.

    ``endpoint`` is the one that was picked first; a fallback may have answered. ``streaming`` says that the body
    is a stream of server-sent events.
    """

    status: int
    headers: Headers
    endpoint: Endpoint
    streaming: bool = False


@dataclass(frozen=True, slots=True)
class ResponseChunk:
    """A piece of a response body; ``usage`` is what has been read of it so far."""

    data: bytes
    first: bool
    last: bool
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """How a dispatched request ended, reported exactly once.

    ``endpoint`` is the one that was picked first; ``served_by`` is the ``ip:port`` that answered, when the
    proxy says so. ``status`` is None if no response head was seen. Times are in seconds from the request's
    arrival and None when not observed.
    """

    endpoint: Endpoint
    cause: Termination
    status: int | None = None
    served_by: str | None = None
    usage: Usage | None = None
    first_byte_seconds: float | None = None
    duration_seconds: float | None = None
    response_bytes: int = 0
