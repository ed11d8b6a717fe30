"""From what the load asks for to a number of replicas that does not flap. Pure, given ``now``.

- Up, as soon as more is needed than there should be and a tolerance beyond, if the last change is long enough ago.
- Down, once less was needed without a break for long enough, to the most that was needed in that time.

So between a change and the next one the cooldown of the next one's direction lies at least; and a load that wobbles by
less than the tolerance around a number of replicas is never a reason for two changes.
"""

import math
from dataclasses import dataclass, replace
from enum import StrEnum

MOST_REPLICAS = 100_000


class Reason(StrEnum):
    """Why the advice is what it is; the values label metrics."""

    LOAD = "load"
    """It is what the load asks for."""
    MINIMUM = "minimum"
    """The load asks for less than the least."""
    MAXIMUM = "maximum"
    """The load asks for more than the most."""
    TOLERANCE = "tolerance"
    """The load asks for a little more, within the tolerance."""
    UP_COOLDOWN = "up-cooldown"
    """The load asks for more, and the last change was a moment ago."""
    DOWN_COOLDOWN = "down-cooldown"
    """The load asks for less, and has not done so for long enough."""
    UNKNOWN = "unknown"
    """Nothing is known of the load, so the advice stays."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds in replicas, cooldowns in seconds, and the tolerance as a share of the replicas.

    Raises:
        ValueError: not 0 <= minimum <= maximum, 1 <= maximum <= 100,000, cooldowns of at least 0 and finite, and a
            tolerance in [0, 1).
    """

    minimum: int
    maximum: int
    up_cooldown: float
    down_cooldown: float
    tolerance: float

    def __post_init__(self) -> None:
        if not 1 <= self.maximum <= MOST_REPLICAS:
            raise ValueError(f"max_replicas must be within [1, {MOST_REPLICAS}], got {self.maximum}")
        if not 0 <= self.minimum <= self.maximum:
            raise ValueError(f"min_replicas must be within [0, max_replicas {self.maximum}], got {self.minimum}")
        for name, seconds in (("up_cooldown", self.up_cooldown), ("down_cooldown", self.down_cooldown)):
            if not 0.0 <= seconds < math.inf:
                raise ValueError(f"{name} must be at least 0s, got {seconds:g}s")
        if not 0.0 <= self.tolerance < 1.0:
            raise ValueError(f"tolerance must be within [0, 1), got {self.tolerance}")

    def bounded(self, replicas: float) -> int:
        """The whole number of replicas within the bounds that is enough."""
        return max(self.minimum, math.ceil(min(replicas, self.maximum)))


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided last, when that changed, and since when less is needed, with the most in that time."""

    desired: int
    reason: Reason
    changed_at: float = -math.inf
    less_since: float | None = None
    most_since: float = 0.0


def first_decision(limits: Limits, current: int) -> Decision:
    """The pool stays as it is until its load asks for something else."""
    return Decision(limits.bounded(current), Reason.UNKNOWN)


def decide(limits: Limits, before: Decision, needed: float | None, now: float) -> Decision:
    """The next decision; ``needed`` is in replicas, and None or NaN where it is not known."""
    if needed is None or math.isnan(needed):
        return replace(before, reason=Reason.UNKNOWN, less_since=None)
    wanted = limits.bounded(needed)
    if wanted > before.desired:
        return _up(limits, before, needed, wanted, now)
    if wanted < before.desired:
        return _down(limits, before, needed, now)
    return replace(before, reason=_why(limits, needed), less_since=None)


def _up(limits: Limits, before: Decision, needed: float, wanted: int, now: float) -> Decision:
    steady = replace(before, less_since=None)
    if needed <= before.desired * (1.0 + limits.tolerance):
        return replace(steady, reason=Reason.TOLERANCE)
    if now - before.changed_at < limits.up_cooldown:
        return replace(steady, reason=Reason.UP_COOLDOWN)
    return Decision(wanted, _why(limits, needed), now)


def _down(limits: Limits, before: Decision, needed: float, now: float) -> Decision:
    since = now if before.less_since is None else before.less_since
    most = needed if before.less_since is None else max(before.most_since, needed)
    if now - max(since, before.changed_at) < limits.down_cooldown:
        return replace(before, reason=Reason.DOWN_COOLDOWN, less_since=since, most_since=most)
    return Decision(limits.bounded(most), _why(limits, most), now)


def _why(limits: Limits, needed: float) -> Reason:
    if needed > limits.maximum:
        return Reason.MAXIMUM
    return Reason.MINIMUM if needed < limits.minimum else Reason.LOAD
