"""Refuses requests at the entrance of the queue: those that would wait in vain, and low ones when it fills up."""

import math
import random

from turnout.framework import QueuedRequest, QueueOutlook, Refusal, RefusalKind

DROPPED_REASON = "rejected-saturated"

# An hour is as good as any longer time as an answer to when to try again.
MAX_RETRY_AFTER_SECONDS = 3600.0


class EarlyRefusalPolicy:
    """Refuses a request at once that would wait longer than it may.

    It may wait until its deadline, stated by the client or given by the time to live, and until its TTFT target has
    passed unless ``use_ttft_target`` is false. It is refused when the expected wait times ``safety_factor`` is more
    than what is left until then: above 1 refuses earlier, below 1 later. As long as no wait is expected because nothing
    is known of the pace, nobody is refused.

    The client is told to come back when as much time has passed as it would have waited too long, at least a second.

    Raises:
        ValueError: ``safety_factor`` is not positive and finite.
    """

    def __init__(self, safety_factor: float = 1.0, use_ttft_target: bool = True) -> None:
        if not 0.0 < safety_factor < math.inf:
            raise ValueError(f"safety_factor must be positive and finite, got {safety_factor}")
        self._safety_factor = safety_factor
        self._uses_ttft_target = use_ttft_target

    def entry_refusal(self, item: QueuedRequest, outlook: QueueOutlook, now: float) -> Refusal | None:
        expected = outlook.expected_wait
        if expected is None:
            return None
        remaining = self._until(item) - now
        if not expected * self._safety_factor > remaining:
            return None
        message = f"the request would wait {expected:.1f} s, and may wait {max(0.0, remaining):.1f} s"
        return _refusal(message, expected - remaining)

    def _until(self, item: QueuedRequest) -> float:
        target = item.request.ttft_target
        if target is None or not self._uses_ttft_target:
            return item.deadline
        return min(item.deadline, item.request.received_at + target)


class QueueSheddingPolicy:
    """Refuses requests of low priority with a chance that grows as the queue fills.

    For priorities below ``protected_priority`` the chance rises linearly from 0 at the fill ``start`` to 1 at a full
    queue. With ``start_saturation`` it also rises from 0 there to 1 at ``full_saturation``, and the larger of both
    counts. ``seed`` fixes who is refused.

    Raises:
        ValueError: ``start`` is not within [0, 1), or not 0 <= ``start_saturation`` < ``full_saturation`` < infinity.
    """

    def __init__(
        self,
        start: float = 0.8,
        start_saturation: float | None = None,
        full_saturation: float = 2.0,
        protected_priority: int = 0,
        seed: int | None = None,
    ) -> None:
        if not 0.0 <= start < 1.0:
            raise ValueError(f"start must be within [0, 1), got {start}")
        if start_saturation is not None and not 0.0 <= start_saturation < full_saturation < math.inf:
            given = f"{start_saturation} and {full_saturation}"
            raise ValueError(
                f"start_saturation must be at least 0 and below full_saturation, which must be finite, got {given}"
            )
        self._start = start
        self._start_saturation = start_saturation
        self._full_saturation = full_saturation
        self._protected_priority = protected_priority
        self._random = random.Random(seed)

    def entry_refusal(self, item: QueuedRequest, outlook: QueueOutlook, now: float) -> Refusal | None:
        if item.request.priority >= self._protected_priority:
            return None
        chance = self._chance(outlook)
        if chance <= 0.0 or self._random.random() >= chance:
            return None
        return _refusal("the queue is filling up and has no place for requests of low priority", outlook.expected_wait)

    def _chance(self, outlook: QueueOutlook) -> float:
        chance = _risen(outlook.fill, self._start, 1.0)
        if self._start_saturation is None:
            return chance
        return max(chance, _risen(outlook.saturation, self._start_saturation, self._full_saturation))


def _risen(value: float, start: float, full: float) -> float:
    """0 up to ``start`` and for NaN, 1 from ``full`` on, linear in between."""
    return min(1.0, max(0.0, (value - start) / (full - start)))


def _refusal(message: str, retry_after: float | None) -> Refusal:
    seconds = min(max(1.0, retry_after or 1.0), MAX_RETRY_AFTER_SECONDS)
    return Refusal(RefusalKind.RESOURCE_EXHAUSTED, message, DROPPED_REASON, seconds)
