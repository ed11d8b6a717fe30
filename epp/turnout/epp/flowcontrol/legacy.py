"""Admission without flow control: nobody waits, and sheddable requests are dropped while the pool is saturated."""

from collections.abc import Callable, Sequence

from turnout.epp.flowcontrol import outcomes
from turnout.epp.flowcontrol.guard import Guard
from turnout.epp.flowcontrol.saturation import SaturationGauge
from turnout.epp.requests.admission import Admission, RunningRequest
from turnout.framework import (
    CycleState,
    Endpoint,
    InferenceRequest,
    Named,
    PluginError,
    Refusal,
    SaturationDetector,
)

SATURATED = 1.0
_AT_ONCE = Admission()


class LegacyAdmission:
    """Refuses requests of a priority below 0 while the detector sees the pool at its set point or above.

    Without a detector nothing is refused. Other requests cost nothing here.
    """

    waits_for_endpoints = False

    def __init__(
        self,
        detector: Named[SaturationDetector] | None,
        candidates: Callable[[], Sequence[Endpoint]],
        report: Callable[[PluginError], None],
        clock: Callable[[], float],
    ) -> None:
        self._gauge = None if detector is None else SaturationGauge(detector, Guard(report))
        self._candidates = candidates
        self._clock = clock

    async def enter(
        self, request: InferenceRequest, state: CycleState, subset: tuple[str, ...] | None
    ) -> Admission | Refusal:
        """Admits the request at once, or refuses it."""
        if request.priority >= 0 or self._gauge is None:
            return _AT_ONCE
        saturation = self._gauge.read(self._candidates(), self._clock())
        return outcomes.SHEDDABLE_DROPPED if saturation.effective >= SATURATED else _AT_ONCE

    def endpoints_for(self, request: InferenceRequest, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        """All of them."""
        return endpoints

    def running(self, request: RunningRequest) -> bool:
        """Nobody waits, so nobody has to go."""
        return False
