"""Promises about latency, and how well they are kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol, runtime_checkable

SLA_VIOLATION = "sla-violation"
"""The kind of an event that says that a request broke a promise."""


@dataclass(frozen=True, slots=True)
class SlaWindow:
    """The requests that were judged in the last ``seconds``.

    ``compliance`` is the share of them that met the target, None without any. ``burn_rate`` is how fast the error
    budget is spent: (1 - compliance) / (1 - promised share); at 1 it lasts exactly as long as the promise counts.
    Without requests it is 0.
    """

    seconds: float
    requests: int
    compliance: float | None
    burn_rate: float


@dataclass(frozen=True, slots=True)
class SlaStatus:
    """One promise: that ``percentile`` percent of the requests have a ``metric`` of at most ``target_seconds``.

    ``target_seconds`` is what holds at this moment, None where each request brings its own. ``selects`` names the
    requests that it is about, by field; empty means all. ``observed_seconds`` has what was measured in the short
    window, by quantile from 0 to 1.
    """

    target: str
    metric: str
    percentile: float
    target_seconds: float | None
    short: SlaWindow
    long: SlaWindow
    selects: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    observed_seconds: Mapping[float, float] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def is_burning(self) -> bool:
        """Whether the budget is spent too fast in both windows: for long enough to matter, and still."""
        return self.short.burn_rate > 1.0 and self.long.burn_rate > 1.0


@runtime_checkable
class SlaReporter(Protocol):
    """A plugin that measures whether promises are kept."""

    def sla_status(self, now: float) -> Sequence[SlaStatus]:
        """Its targets in a fixed order; asked for when somebody looks. It changes nothing."""
        ...
