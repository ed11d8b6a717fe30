"""Prefers spot endpoints where they are steady."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from turnout.framework import CycleState, Endpoint, InferenceRequest, Scores
from turnout.plugins.spot.headroom import Headroom
from turnout.plugins.spot.interruptible import INSTANCE_TYPE_LABEL, Interruptible
from turnout.plugins.spot.interruptions import Interruptions
from turnout.plugins.spot.notices import DRAIN_LABEL


class SpotScorer:
    """Scores a spot endpoint 1, divided by one more than the interruptions of its instance type lately.

    Endpoints on demand get ``on_demand_score``, so that with 0.5 a single interruption makes the two equal. A spot
    endpoint without ``headroom``, or with a drain notice, gets 0. Interruptions count for ``interruption_window``.

    Raises:
        ValueError: the score is outside [0, 1], or the window is not above 0.
    """

    def __init__(
        self,
        spot_labels: Mapping[str, str] | None = None,
        instance_type_label: str = INSTANCE_TYPE_LABEL,
        headroom: Headroom = Headroom(),  # noqa: B008 - frozen
        on_demand_score: float = 0.5,
        interruption_window: timedelta = timedelta(minutes=10),
        drain_label: str = DRAIN_LABEL,
    ) -> None:
        if not 0.0 <= on_demand_score <= 1.0:
            raise ValueError(f"on_demand_score must be from 0 to 1, got {on_demand_score}")
        if interruption_window <= timedelta(0):
            raise ValueError(f"interruption_window must be above 0, got {interruption_window.total_seconds():g} s")
        self._spot = Interruptible(spot_labels, instance_type_label)
        self._headroom = headroom
        self._on_demand = on_demand_score
        self._drain_label = drain_label
        self._interruptions = Interruptions(self._spot, drain_label, interruption_window.total_seconds())
        self.reads = tuple(headroom.keys)

    def score(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Scores:
        """One score for each endpoint."""
        interrupted = self._interruptions.by_instance_type(state.now)
        return [self._of(request, state, endpoint, interrupted) for endpoint in endpoints]

    def endpoints_changed(self, endpoints: Sequence[Endpoint]) -> None:
        """Looks for spot endpoints that were taken away."""
        self._interruptions.endpoints_changed(endpoints)

    def _of(
        self, request: InferenceRequest, state: CycleState, endpoint: Endpoint, interrupted: Mapping[str, int]
    ) -> float:
        if not self._spot.is_spot(endpoint):
            return self._on_demand
        if self._drain_label in endpoint.labels or not self._headroom.is_there(request, state, endpoint):
            return 0.0
        return 1.0 / (1 + interrupted.get(self._spot.instance_type(endpoint), 0))
