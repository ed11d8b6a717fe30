"""How many replicas a pool should have, as advice for whatever scales it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol, runtime_checkable

from turnout.framework.endpoint import Endpoint


@dataclass(frozen=True, slots=True)
class ScalingAdvice:
    """How many replicas one group of endpoints should have.

    ``group`` names the endpoints that are scaled together; empty is the whole pool. ``basis`` is what the advice is
    made of, ``reason`` why it is what it is, each one of a few fixed words, fit for labels of metrics. ``needed`` is
    what the load asks for, before rounding, bounds, cooldown and hysteresis; None where that is not known. ``current``
    counts the replicas in the pool. ``figures`` holds what it was computed from, by name.
    """

    group: str
    basis: str
    desired: int
    current: int
    needed: float | None
    minimum: int
    maximum: int
    reason: str
    figures: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))


@runtime_checkable
class ScalingAdvisor(Protocol):
    """A plugin that tells how many replicas there should be. Nothing here scales anything."""

    def scaling_advice(self, endpoints: Sequence[Endpoint], now: float) -> Sequence[ScalingAdvice]:
        """The advice at this moment, about the whole pool, in or out of service.

        Asked about every two seconds, whether or not requests come, and by nobody else: what was advised last may be
        remembered. At most 200 are taken.
        """
        ...
