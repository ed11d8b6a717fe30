"""What waits, for people who look."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from turnout.epp.flowcontrol.entry import Entry
from turnout.epp.flowcontrol.shell import FlowControl

# A look at every request of a longer queue would hold up the requests.
MOST_LOOKED_AT = 20_000


@dataclass(frozen=True, slots=True)
class PriorityStatus:
    """What waits of one priority. ``levels`` are the names under which it was asked for.

    ``deferred`` of it do not stand in line yet. ``flows`` and ``oldest_seconds`` are None where the queue is too long
    to be looked through.
    """

    priority: int
    queued: int
    size_bytes: int
    max_requests: int
    levels: Sequence[str] = ()
    flows: int | None = None
    oldest_seconds: float | None = None
    deferred: int = 0


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """The queue at one moment. ``expected_wait_seconds`` is that of one more, see ``FlowControl``."""

    queued: int
    size_bytes: int
    saturation: float
    strategy: str
    expected_wait_seconds: float | None
    priorities: Sequence[PriorityStatus]
    deferred: int = 0


@dataclass(slots=True)
class _Seen:
    levels: set[str] = field(default_factory=set)
    flows: set[str] = field(default_factory=set)
    oldest: float = float("inf")

    def look_at(self, entry: Entry) -> None:
        request = entry.waiting.request
        self.levels.add(request.level)
        self.flows.add(request.fairness_id)
        self.oldest = min(self.oldest, entry.enqueued_at)


def queue_status(flow: FlowControl, now: float) -> QueueStatus:
    """The queue as it is; costs a look at each request of a queue of up to 20,000."""
    limits = flow.controller.limits
    seen: dict[int, _Seen] = defaultdict(_Seen)
    if limits.total.requests <= MOST_LOOKED_AT:
        for entry in flow.controller:
            seen[entry.priority].look_at(entry)
    known = sorted({*limits.settings.bands, *limits.by_priority}, reverse=True)
    return QueueStatus(
        queued=limits.total.requests,
        size_bytes=limits.total.size_bytes,
        saturation=flow.saturation.effective,
        strategy=limits.settings.strategy,
        expected_wait_seconds=flow.expected_wait(),
        priorities=[_of_priority(flow, priority, seen.get(priority), now) for priority in known],
        deferred=sum(limits.deferred.values()),
    )


def _of_priority(flow: FlowControl, priority: int, seen: _Seen | None, now: float) -> PriorityStatus:
    limits = flow.controller.limits
    waiting = limits.waiting(priority)
    most, deferred = limits.band(priority).max_requests, limits.deferred.get(priority, 0)
    status = PriorityStatus(priority, waiting.requests, waiting.size_bytes, most, deferred=deferred)
    if seen is None:
        return status
    return replace(
        status,
        levels=sorted(seen.levels - {""}),
        flows=len(seen.flows),
        oldest_seconds=max(0.0, now - seen.oldest),
    )
