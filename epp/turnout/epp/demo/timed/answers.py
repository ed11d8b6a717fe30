"""What became of the requests of a run, as their clients saw it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, Literal, Protocol, TypeVar

Outcome = Literal["served", "refused", "failed"]


class TimedRequest(Protocol):
    """A request that is sent ``at`` seconds after the start of a run, for an answer of so many tokens."""

    @property
    def at(self) -> float: ...

    @property
    def answer_tokens(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]:
        """What the gateway is told besides the body."""
        ...

    def prompt(self, seed: int) -> str:
        """The text."""
        ...


R = TypeVar("R", bound=TimedRequest)


@dataclass(frozen=True, slots=True)
class Answer(Generic[R]):
    """The end of one request. Seconds count from the moment at which it was to be sent.

    ``decided`` is when the client knew: the first token of a served request, the response of a refused one. ``reason``
    says why a request was refused or failed.
    """

    request: R
    outcome: Outcome
    decided: float
    ended: float
    reason: str = ""


@dataclass(slots=True)
class Answers(Generic[R]):
    """All that a run has brought so far. ``late`` holds how much later than intended each request was sent."""

    answers: list[Answer[R]] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    seconds: float = 0.0
