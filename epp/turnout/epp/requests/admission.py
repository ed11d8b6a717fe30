"""What the director asks before a request is scheduled: whether it may go on now, later, or not at all."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from turnout.framework import (
    CLIENT_LEFT,
    CycleState,
    Endpoint,
    InferenceRequest,
    QueuedRequest,
    Refusal,
    RefusalKind,
    WaitRecord,
)

GIVEN_UP = Refusal(RefusalKind.UNAVAILABLE, "client disconnected: before its request was sent", CLIENT_LEFT)
"""What became of a request whose client went away; nobody is there to be told."""


class RunningRequest(Protocol):
    """A dispatched request, until its end."""

    @property
    def queued(self) -> QueuedRequest:
        """The request as policies see it."""
        ...

    @property
    def dispatched_at(self) -> float:
        """When it was sent to its endpoint, in seconds on the caller's clock."""
        ...

    def evict(self, refusal: Refusal) -> bool:
        """Takes it back; False where that is impossible. Its end listeners have been called when this returns."""
        ...

    def add_end_listener(self, listener: Callable[[], object]) -> None:
        """Has it called once, when the request has ended."""
        ...


class Admission:
    """A request that may go on. Until it is settled it counts as on its way to some endpoint.

    ``priority`` is what was made of the request's while it waited, None if nobody asked. ``in_line_since`` is when it
    began to stand in line, None if that was when it came.
    """

    __slots__ = ("_explain", "_settle", "in_line_since", "priority")

    def __init__(
        self,
        settle: Callable[[], None] | None = None,
        explain: Callable[[], WaitRecord] | None = None,
        priority: int | None = None,
        in_line_since: float | None = None,
    ) -> None:
        self.priority = priority
        self.in_line_since = in_line_since
        self._settle = settle
        self._explain = explain

    def changed(self, request: InferenceRequest) -> InferenceRequest:
        """The request as it goes on: with its priority of now, and as if it had come when it began to stand in line."""
        priority = request.priority if self.priority is None else self.priority
        came = request.received_at if self.in_line_since is None else self.in_line_since
        if (priority, came) == (request.priority, request.received_at):
            return request
        return replace(request, priority=priority, received_at=came)

    def explained(self) -> WaitRecord | None:
        """How the request waited; None where requests do not wait."""
        return None if self._explain is None else self._explain()

    def settled(self) -> None:
        """The request was sent to an endpoint, or will not be. Only the first call counts."""
        settle, self._settle = self._settle, None
        if settle is not None:
            settle()


class AdmissionControl(Protocol):
    """Lets requests wait, or refuses them."""

    @property
    def waits_for_endpoints(self) -> bool:
        """Whether a request may wait for an endpoint while there is none."""
        ...

    async def enter(
        self, request: InferenceRequest, state: CycleState, subset: tuple[str, ...] | None
    ) -> Admission | Refusal:
        """Returns when the request may go on, or why it may not. Cancelled when the client goes away meanwhile."""
        ...

    def endpoints_for(self, request: InferenceRequest, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        """Those of the endpoints that may serve the request; the same sequence where nothing is ruled out."""
        ...

    def running(self, request: RunningRequest) -> bool:
        """Takes note of an admitted request that goes to its endpoint.

        True: it may be taken back while it runs, so that its stream has to stay open.
        """
        ...
