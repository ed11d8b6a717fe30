"""What is promised, of which requests."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, TypeAlias

from turnout.framework import InferenceRequest

Metric: TypeAlias = Literal["ttft", "tpot", "e2e"]

SHORTEST_WINDOW = timedelta(seconds=12)
LONGEST_WINDOW = timedelta(days=1)
HIGHEST_PERCENTILE = 99.999
MAX_NAME = 100
"""Characters of a target's name, which labels metrics."""


@dataclass(frozen=True, slots=True)
class LoadFactor:
    """By how much a target is multiplied at which load of the pool; 1.0 is its saturation's set point.

    ``min_factor`` up to the load ``from_``, ``max_factor`` from ``to`` on, and linear in between. Factors below 1
    tighten the target, those above relax it.

    Raises:
        ValueError: the loads or the factors are out of order or out of range.
    """

    from_: float = 0.7
    to: float = 1.0
    min_factor: float = 1.0
    max_factor: float = 1.5

    def __post_init__(self) -> None:
        if not 0.0 <= self.from_ < self.to < math.inf:
            raise ValueError(f"from_ must be at least 0 and below to, got {self.from_} and {self.to}")
        if not 0.0 < self.min_factor <= self.max_factor < math.inf:
            raise ValueError(
                f"min_factor must be above 0 and at most max_factor, got {self.min_factor} and {self.max_factor}"
            )

    def at(self, load: float) -> float:
        """The factor at this load."""
        share = min(1.0, max(0.0, (load - self.from_) / (self.to - self.from_)))
        return self.min_factor + share * (self.max_factor - self.min_factor)


@dataclass(frozen=True, slots=True)
class SlaTarget:
    """A promise: ``percentile`` percent of the requests have a ``metric`` of at most ``target``.

    It is about the requests of this ``level``, ``objective`` and ``model`` (as the client asked for it); what is empty
    asks for nothing. ``metric`` is ``ttft`` (arrival to the first byte of the response), ``e2e`` (to the last) or
    ``tpot`` (mean time between tokens after the first, of streamed responses). With ``streamed_only`` requests without
    a streamed response do not count: their first byte comes when all is done.

    ``from_request``: a request that states a target of its own is judged by that, and ``target`` may be left out for
    requests without one not to count. ``relax_with_load`` changes ``target`` with the load; never a request's own.
    ``window`` is over what compliance is measured.

    Raises:
        ValueError: a value is out of range, or there is no target.
    """

    name: str
    metric: Metric
    percentile: float
    target: timedelta | None = None
    level: str = ""
    objective: str = ""
    model: str = ""
    window: timedelta = timedelta(minutes=5)
    from_request: bool = False
    streamed_only: bool = False
    relax_with_load: LoadFactor | None = None

    def __post_init__(self) -> None:
        if not 1 <= len(self.name) <= MAX_NAME:
            raise ValueError(f"name must have 1 to {MAX_NAME} characters, got {len(self.name)}")
        if not 0.0 < self.percentile <= HIGHEST_PERCENTILE:
            raise ValueError(f"percentile must be above 0 and at most {HIGHEST_PERCENTILE}, got {self.percentile}")
        if not SHORTEST_WINDOW <= self.window <= LONGEST_WINDOW:
            raise ValueError(f"window must be from 12 s to a day, got {self.window}")
        self._check_target()

    def _check_target(self) -> None:
        if self.target is not None and self.target <= timedelta():
            raise ValueError(f"target must be above 0, got {self.target}")
        if self.from_request and self.metric == "e2e":
            raise ValueError("from_request must be false for e2e: requests state targets of ttft and tpot only")
        if self.target is None and not self.from_request:
            raise ValueError("target must be given unless from_request is true")
        if self.target is None and self.relax_with_load is not None:
            raise ValueError("relax_with_load must be left out without a target")

    @property
    def budget(self) -> float:
        """The share of the requests that may miss the target."""
        # 100 - 99.9 is a little less than 0.1, and what is exactly as promised must not count as less.
        return round(100.0 - self.percentile, 9) / 100.0

    @property
    def selects(self) -> Mapping[str, str]:
        """The fields of a request that have to have these values."""
        wanted = {"level": self.level, "objective": self.objective, "model": self.model}
        return {name: value for name, value in wanted.items() if value}

    def covers(self, request: InferenceRequest) -> bool:
        """Whether the promise is about this request."""
        return (
            (not self.level or request.level == self.level)
            and (not self.objective or request.objective == self.objective)
            and (not self.model or request.model == self.model)
            and (request.stream or not (self.streamed_only or self.metric == "tpot"))
        )

    def seconds_at(self, load: float) -> float | None:
        """What is promised at this load of requests without a target of their own; None if nothing is."""
        if self.target is None:
            return None
        factor = 1.0 if self.relax_with_load is None else self.relax_with_load.at(load)
        return self.target.total_seconds() * factor

    def seconds_for(self, request: InferenceRequest, load: float) -> float | None:
        """What is promised of this request at this load; None if nothing is."""
        own = self._own(request) if self.from_request else None
        return self.seconds_at(load) if own is None else own

    def _own(self, request: InferenceRequest) -> float | None:
        own = request.ttft_target if self.metric == "ttft" else request.tpot_target
        return own if own is not None and 0.0 < own < math.inf else None
