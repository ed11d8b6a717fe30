"""What a scheduling cycle returns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from turnout.framework.endpoint import Endpoint
from turnout.framework.errors import NoEndpointsError

Scores: TypeAlias = Sequence[float]
"""One score in [0, 1] for each endpoint a scorer was given, in their order."""


class ScoredEndpoint(NamedTuple):
    """A candidate that survived the filters, with the weighted sum of its scores."""

    endpoint: Endpoint
    score: float


@dataclass(frozen=True, slots=True)
class ProfileResult:
    """What one profile decided: ``picked`` is never empty and has the best first; ``scored`` is in candidate order."""

    profile: str
    picked: tuple[Endpoint, ...]
    scored: tuple[ScoredEndpoint, ...]


ProfileOutcome: TypeAlias = ProfileResult | NoEndpointsError
"""A profile that ran: its result, or why nothing was left. A profile handler decides what that means."""


@dataclass(frozen=True, slots=True)
class SchedulingResult:
    """The decision for a request: the results of all profiles and which of them says where the request goes.

    ``target_model`` is the model to ask the engine for in place of the request's; empty leaves it. Only a request with
    a model and with ``REQUEST_BODY`` in its state can be given another. ``reasons`` says in words how the handler came
    to the decision, in order, for whoever has it explained.
    """

    primary: str
    profiles: Mapping[str, ProfileResult]
    target_model: str = ""
    reasons: tuple[str, ...] = ()

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The destination and its fallbacks, best first; never empty."""
        return self.profiles[self.primary].picked

    @property
    def endpoint(self) -> Endpoint:
        """Where the request goes."""
        return self.profiles[self.primary].picked[0]
