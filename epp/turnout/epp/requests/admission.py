"""What the director asks before a request is scheduled: whether it may go on now, later, or not at all."""

from collections.abc import Callable, Sequence
from typing import Protocol

from turnout.framework import CycleState, Endpoint, InferenceRequest, Refusal


class Admission:
    """A request that may go on. Until it is settled it counts as on its way to some endpoint."""

    __slots__ = ("_settle",)

    def __init__(self, settle: Callable[[], None] | None = None) -> None:
        self._settle = settle

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
