"""What flow control reports, for metrics."""

from typing import Protocol

from turnout.epp.flowcontrol.outcomes import Outcome
from turnout.epp.flowcontrol.saturation import Saturation
from turnout.framework import InferenceRequest


class EvictionObserver(Protocol):
    """Hears of each step of an eviction once. Implementations neither block nor raise."""

    def revoked(self, priority: int) -> None:
        """A running request of this priority was taken back."""
        ...

    def reclaiming(self, target: int, pending: int) -> None:
        """So many requests have to end for the waiting one, and so many were taken back for it and are not seen yet."""
        ...

    def confirmed(self, seconds: float, *, in_time: bool) -> None:
        """What was taken back shows as room, after so long; or it did not within ten seconds."""
        ...


class FlowObserver(EvictionObserver, Protocol):
    """Hears of each step once. Implementations neither block nor raise."""

    def entered(self, request: InferenceRequest, seconds: float) -> None:
        """A request was put into the queue, which took so many seconds."""
        ...

    def left(self, request: InferenceRequest, outcome: Outcome, waited_seconds: float, *, was_queued: bool) -> None:
        """A request's wait ended; one that was refused at the door was not queued."""
        ...

    def moved(self, before: InferenceRequest, after: InferenceRequest) -> None:
        """A queued request has another priority."""
        ...

    def cycle(self, seconds: float) -> None:
        """Somebody's turn was looked for."""
        ...

    def saturated(self, saturation: Saturation) -> None:
        """The pool as it was found."""
        ...


class Unobserved:
    """An observer that keeps nothing."""

    def entered(self, request: InferenceRequest, seconds: float) -> None:
        """A request was put into the queue."""

    def left(self, request: InferenceRequest, outcome: Outcome, waited_seconds: float, *, was_queued: bool) -> None:
        """A request's wait ended."""

    def moved(self, before: InferenceRequest, after: InferenceRequest) -> None:
        """A queued request has another priority."""

    def cycle(self, seconds: float) -> None:
        """Somebody's turn was looked for."""

    def saturated(self, saturation: Saturation) -> None:
        """The pool as it was found."""

    def revoked(self, priority: int) -> None:
        """A running request was taken back."""

    def reclaiming(self, target: int, pending: int) -> None:
        """So many requests have to end."""

    def confirmed(self, seconds: float, *, in_time: bool) -> None:
        """What was taken back shows, or does not."""
