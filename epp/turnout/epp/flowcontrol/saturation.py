"""How full the endpoints of a lane are: the detector's answer by stage, with what is on its way to them."""

from collections.abc import Sequence
from dataclasses import dataclass

from turnout.epp.flowcontrol.guard import Guard, a_number
from turnout.framework import Endpoint, ExtensionPoint, Named, SaturationDetector

ROLE_LABEL = "llm-d.ai/role"
_PREFILL = frozenset({"prefill", "encode-prefill"})
EMPTY_POOL = 1.0


@dataclass(frozen=True, slots=True)
class Saturation:
    """1.0 is the set point of the detector; ``prefill`` is None where no endpoint has only that role."""

    decode: float
    prefill: float | None = None

    @property
    def effective(self) -> float:
        """What counts: the fuller of the stages."""
        return self.decode if self.prefill is None else max(self.decode, self.prefill)


class SaturationGauge:
    """Asks the detector, stage by stage; while it fails its last answer stands, and before there was one the pool
    counts as not saturated, since refusing everything would be worse than queueing nothing.
    """

    def __init__(self, detector: Named[SaturationDetector], guard: Guard) -> None:
        self._detector = detector
        self._guard = guard
        self._last: dict[str, float] = {}

    def read(self, endpoints: Sequence[Endpoint], now: float) -> Saturation:
        """How saturated these endpoints are."""
        prefill = [endpoint for endpoint in endpoints if endpoint.labels.get(ROLE_LABEL) in _PREFILL]
        if not prefill:
            return Saturation(self._ask("decode", endpoints, now))
        decode = [endpoint for endpoint in endpoints if endpoint.labels.get(ROLE_LABEL) not in _PREFILL]
        stages = Saturation(self._ask("decode", decode, now), self._ask("prefill", prefill, now))
        # Without a decode endpoint nothing can be served whole, but that is for the scheduling profile to say.
        return stages if decode else Saturation(self._ask("prefill", prefill, now))

    def _ask(self, stage: str, endpoints: Sequence[Endpoint], now: float) -> float:
        value = self._guard.ask(
            self._detector,
            ExtensionPoint.SATURATION,
            lambda detector: a_number(detector.saturation(endpoints, now)),
            self._last.get(stage, 0.0),
        )
        self._last[stage] = value
        return value


def with_pending(endpoints: Sequence[Endpoint], pending: int) -> Sequence[Endpoint]:
    """The endpoints as if so many requests more were on their way to them, spread evenly.

    They have left the queue and have not been sent: some plugin still prepares data for them.
    """
    if not pending or not endpoints:
        return endpoints
    each, more = divmod(pending, len(endpoints))
    return tuple(
        endpoint.with_more_requests(each + (position < more)) if each or position < more else endpoint
        for position, endpoint in enumerate(endpoints)
    )
