"""Priorities that rise with the wait, and a bound of the wait.

Theory of operation. A request begins at its own priority. After the ``promote_after`` of its level it counts as one of
the next level, after that one's as one of the level above, and so on to the top. So a request of level i reaches the
top after the sum of ``promote_after`` from level i on, whatever else is there. Within a level requests are ordered by
arrival, so a promoted one goes before all of its new level that came later.

Climbing does not bound the wait: at the top a request still waits for those that came before it. ``max_wait`` does: a
request that has waited it goes next, whatever its band: at most the k requests that became overdue before it are
dispatched first. With one ``max_wait`` for all levels these k are among the requests that came before it, so it is
dispatched within ``max_wait`` and the time of k + 1 dispatches.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise

from turnout.framework import NEVER, EffectivePriority, QueuedRequest
from turnout.plugins.strategies.max_wait import MaxWait
from turnout.plugins.strategies.strategy import waited


@dataclass(frozen=True, slots=True)
class AgingLevel:
    """A priority, and how long a request counts as one of it before it climbs; without an end if that is absent.

    ``max_wait`` takes the place of the policy's own for requests that come in at this level; 0 means no bound.
    """

    priority: int
    promote_after: timedelta | None = None
    max_wait: timedelta | None = None


DEFAULT_LEVELS = (
    AgingLevel(-100, timedelta(seconds=60)),
    AgingLevel(-50, timedelta(seconds=30)),
    AgingLevel(0, timedelta(seconds=20)),
    AgingLevel(50, timedelta(seconds=10)),
    AgingLevel(100),
)


@dataclass(frozen=True, slots=True)
class _Ladder:
    """Waits in seconds after which a request climbs, and the priorities that it climbs to; both ascend."""

    waits: tuple[float, ...]
    priorities: tuple[int, ...]
    max_wait: MaxWait


class AgingOrderingPolicy:
    """Dispatches the highest priority first, counting the wait: the longer it is, the higher the priority.

    A request counts as one of its own priority at first, and climbs from level to level as the times of ``levels``
    say. With the default levels it is at the top, priority 100, after 120 s from priority -100, 60 s from -50, 30 s
    from 0 and 10 s from 50. A priority between two levels has the times of the lower one, one below all levels those
    of the lowest, and one above all stays where it is. Requests of one band go in order of arrival.

    A request that has waited ``max_wait`` (0: no bound) goes next, whatever its band: at most the k requests that
    became overdue before it are dispatched first.

    The answer depends on the wait alone, so a clock that goes back takes a request back to where it was then.

    Raises:
        ValueError: no level, two of one priority, a time that is not positive, a negative wait, or a time after which
            a request would climb above the top.
    """

    def __init__(self, levels: Sequence[AgingLevel] = DEFAULT_LEVELS, max_wait: timedelta = timedelta()) -> None:
        ordered = sorted(levels, key=lambda level: level.priority)
        _check(ordered)
        bound = MaxWait(max_wait)
        self._priorities = [level.priority for level in ordered]
        self._ladders = [
            _Ladder(*_steps(ordered, position), bound if level.max_wait is None else _own_bound(level, level.max_wait))
            for position, level in enumerate(ordered)
        ]

    def rank(self, item: QueuedRequest, now: float) -> float:
        return item.enqueued_at

    def effective_priority(self, item: QueuedRequest, now: float) -> EffectivePriority:
        ladder, priority, until = self._ladder(item), item.request.priority, NEVER
        for wait, reached in zip(ladder.waits, ladder.priorities, strict=True):
            # The same sum as is answered in `until`, so that the answer at that very moment is the next one.
            climbs_at = item.enqueued_at + wait
            if now < climbs_at:
                until = climbs_at
                break
            priority = reached
        return EffectivePriority(priority, until, ladder.max_wait.overdue_at(item))

    def reason(self, item: QueuedRequest, now: float) -> str:
        """The priority that it counts as and why, or that it is overdue."""
        own, counts_as = item.request.priority, self.effective_priority(item, now).priority
        place = f"priority {own}" if counts_as == own else f"priority {own} counts as {counts_as}"
        return self._ladder(item).max_wait.reason(item, now) or f"{place}; {waited(item, now)}"

    def _ladder(self, item: QueuedRequest) -> _Ladder:
        return self._ladders[max(0, bisect_right(self._priorities, item.request.priority) - 1)]


def _steps(ordered: Sequence[AgingLevel], start: int) -> tuple[tuple[float, ...], tuple[int, ...]]:
    climbed = list(_climb(ordered, start))
    return tuple(wait for wait, _ in climbed), tuple(priority for _, priority in climbed)


def _climb(ordered: Sequence[AgingLevel], start: int) -> Iterator[tuple[float, int]]:
    wait = timedelta()
    for level, above in pairwise(ordered[start:]):
        if level.promote_after is None:
            return
        wait += level.promote_after
        yield wait.total_seconds(), above.priority


def _own_bound(level: AgingLevel, max_wait: timedelta) -> MaxWait:
    return MaxWait(max_wait, f"levels: max_wait of priority {level.priority}")


def _check(ordered: Sequence[AgingLevel]) -> None:
    if not ordered:
        raise ValueError("levels must have at least one level, got none")
    for level, above in pairwise(ordered):
        if level.priority == above.priority:
            raise ValueError(f"levels must have priorities of their own, got {level.priority} twice")
    for level in ordered:
        if level.promote_after is not None and level.promote_after <= timedelta():
            place = f"levels: promote_after of priority {level.priority}"
            raise ValueError(f"{place} must be positive, got {level.promote_after}")
    top = ordered[-1]
    if top.promote_after is not None:
        place = f"levels: promote_after of priority {top.priority}"
        raise ValueError(f"{place} must be left out, because no level is higher, got {top.promote_after}")
