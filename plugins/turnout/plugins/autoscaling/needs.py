"""How many replicas a load asks for. Pure; None where that cannot be told."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from turnout.framework import Endpoint

DEFAULT_DRAIN = timedelta(minutes=1)
DEFAULT_STALE = timedelta(minutes=1)


def replicas_for_queue(queued_tokens: float, tokens_per_second: float, target_seconds: float) -> float | None:
    """Enough to compute what is queued within the TTFT target: queued tokens / (rate x target)."""
    return _ratio(queued_tokens, tokens_per_second * target_seconds)


def replicas_for_arrivals(arriving_per_second: float, tokens_per_second: float, utilization: float) -> float | None:
    """Enough to keep up with what comes, at this share of the rate."""
    return _ratio(arriving_per_second, tokens_per_second * utilization)


def most_needed(*needs: float | None) -> float | None:
    """The largest; None if one cannot be told, for it might be the largest."""
    known = [need for need in needs if need is not None]
    return max(known) if len(known) == len(needs) and known else None


def _ratio(load: float, capacity: float) -> float | None:
    if not (math.isfinite(load) and load >= 0.0 and math.isfinite(capacity) and capacity > 0.0):
        return None
    return load / capacity


@dataclass(frozen=True, slots=True)
class LagTarget:
    """A queue that the replicas take their work from: its lag is to be done within ``drain``.

    ``metric`` is the key of a custom metric of the endpoints, in messages. Where each replica reports the lag of the
    whole queue, the ``max`` of them counts; where each reports its own part, the ``sum``. ``rate_per_replica`` is in
    messages per second. What is older than ``stale_after`` does not count.

    Raises:
        ValueError: the metric has no name, or a rate or a time is not positive (and finite).
    """

    metric: str
    rate_per_replica: float
    drain: timedelta = DEFAULT_DRAIN
    combine: Literal["max", "sum"] = "max"
    stale_after: timedelta = DEFAULT_STALE

    def __post_init__(self) -> None:
        if not self.metric:
            raise ValueError(f"metric must not be empty, got {self.metric!r}")
        if not 0.0 < self.rate_per_replica < math.inf:
            raise ValueError(f"rate_per_replica must be positive and finite, got {self.rate_per_replica}")
        for name, time in (("drain", self.drain), ("stale_after", self.stale_after)):
            if time <= timedelta():
                raise ValueError(f"{name} must be positive, got {time}")

    def lag(self, endpoints: Sequence[Endpoint], now: float) -> float | None:
        """Messages that wait, as the endpoints report them; None if none of them does."""
        stale = self.stale_after.total_seconds()
        found = [
            endpoint.metrics.custom[self.metric]
            for endpoint in endpoints
            if self.metric in endpoint.metrics.custom and endpoint.metrics.age(f"custom.{self.metric}", now) <= stale
        ]
        usable = [value for value in found if math.isfinite(value) and value >= 0.0]
        if not usable:
            return None
        return max(usable) if self.combine == "max" else sum(usable)

    def replicas(self, lag: float | None) -> float | None:
        """Enough to get through the lag in time: lag / (rate per replica x drain seconds)."""
        return None if lag is None else _ratio(lag, self.rate_per_replica * self.drain.total_seconds())
