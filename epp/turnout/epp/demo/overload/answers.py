"""What became of the requests of a run, as their clients saw it."""

from dataclasses import dataclass, field
from typing import Literal

from turnout.epp.demo.overload.workload import Arrival

Outcome = Literal["served", "refused", "failed"]


@dataclass(frozen=True, slots=True)
class Answer:
    """The end of one request. Seconds count from the moment at which it was to be sent.

    ``decided`` is when the client knew: the first token of a served request, the response of a refused one. ``reason``
    says why a request was refused or failed.
    """

    request: Arrival
    outcome: Outcome
    decided: float
    ended: float
    reason: str = ""


@dataclass(slots=True)
class Answers:
    """All that a run has brought so far. ``late`` holds how much later than intended each request was sent."""

    answers: list[Answer] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    seconds: float = 0.0
