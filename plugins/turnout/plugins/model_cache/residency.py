"""Which models the endpoints have by what was sent to them.

Engines name the adapters of the requests that they run; one that is idle is still in memory and named nowhere. So what
was served a while ago counts as loaded, as long as the engine had no reason to drop it.
"""

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass

MAX_ENDPOINTS = 4_096
MAX_MODELS = 64
"""Of one endpoint, unless it has room for more adapters."""


# A load that takes longer than expected is not over: so much of it is always left until the model answers.
LEAST_LEFT = 0.1


@dataclass(slots=True)
class _Stay:
    """One model at one endpoint: when its load began and how long it takes, None once it has answered. In seconds."""

    load_began: float
    load_seconds: float | None
    used_at: float
    on_the_way: int = 0


class Residency:
    """Models by endpoint, the least recently used dropped first. A stay ends ``keep_seconds`` after its last use."""

    def __init__(self, keep_seconds: float) -> None:
        self._keep_seconds = keep_seconds
        self._stays: OrderedDict[str, OrderedDict[str, _Stay]] = OrderedDict()

    def sent(self, endpoint: str, model: str, now: float, load_seconds: float | None, room: int) -> None:
        """A request goes there, which makes it load the model for so long, None if it is there already.

        ``room`` is how many models the endpoint holds, 0 if unknown.
        """
        stays = self._stays.setdefault(endpoint, OrderedDict())
        self._stays.move_to_end(endpoint)
        if len(self._stays) > MAX_ENDPOINTS:
            self._stays.popitem(last=False)
        stay = stays.setdefault(model, _Stay(now, load_seconds, now))
        stay.used_at = now
        stay.on_the_way += 1
        stays.move_to_end(model)
        while len(stays) > (room or MAX_MODELS):
            stays.popitem(last=False)

    def served(self, endpoint: str, model: str, now: float) -> None:
        """The model has answered there."""
        stay = self._stay(endpoint, model)
        if stay is not None:
            stay.load_seconds = None
            stay.used_at = now

    def ended(self, endpoint: str, model: str) -> None:
        """A request has ended; a model that never answered and that nobody waits for is forgotten."""
        stay = self._stay(endpoint, model)
        if stay is None:
            return
        stay.on_the_way -= 1
        if stay.on_the_way <= 0 and stay.load_seconds is not None:
            del self._stays[endpoint][model]

    def seconds_left(self, endpoint: str, model: str, now: float) -> float | None:
        """For how many seconds the model will still be loaded there: 0 once it has answered, None if unknown."""
        stays = self._stays.get(endpoint)
        stay = None if stays is None else stays.get(model)
        if stay is None or now - stay.used_at >= self._keep_seconds:
            return None
        if stay.load_seconds is None:
            return 0.0
        return max(stay.load_seconds * LEAST_LEFT, stay.load_began + stay.load_seconds - now)

    def keep_only(self, endpoints: Collection[str]) -> None:
        """Forgets the endpoints that left."""
        for gone in [name for name in self._stays if name not in endpoints]:
            del self._stays[gone]

    def __len__(self) -> int:
        return len(self._stays)

    def _stay(self, endpoint: str, model: str) -> _Stay | None:
        stays = self._stays.get(endpoint)
        return None if stays is None else stays.get(model)
