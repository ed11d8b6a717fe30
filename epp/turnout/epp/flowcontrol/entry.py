"""A request in the queue, and the waiting line that its flow is."""

from collections.abc import Iterator
from heapq import heapify, heappop, heappush

from turnout.framework import NEVER, Deferral, EffectivePriority, QueuedRequest, Refusal

# Stale slots are dropped when they are more than the live ones, and not before there are this many.
_SLACK = 16


class Entry:
    """A queued request with what flow control knows of it.

    ``band`` is its effective priority; ``in_line_since`` is when it began to stand in line, and ``deferral`` there as
    long as it does not; ``sequence`` its place in the order of arrival; ``size_bytes`` what it counts
    against limits in bytes. ``stated_deadline`` is the client's own, ``deadline`` the one that holds. Once it has left
    the queue ``queued`` is False and the request is let go; ``refusal`` says why if it went nowhere. ``subset`` is the
    subset hint that the request came with.
    """

    __slots__ = (
        "band",
        "deadline",
        "deferral",
        "effective",
        "enqueued_at",
        "in_line_since",
        "item",
        "lane",
        "overdue_at",
        "priority",
        "queued",
        "rank",
        "refusal",
        "sequence",
        "size_bytes",
        "stated_deadline",
        "subset",
        "version",
    )

    def __init__(self, item: QueuedRequest, lane: str, sequence: int) -> None:
        self.item: QueuedRequest | None = item
        self.lane = lane
        self.sequence = sequence
        self.enqueued_at = self.in_line_since = item.enqueued_at
        self.size_bytes = item.request.size_bytes
        self.priority = item.request.priority
        self.band = self.priority
        self.rank = 0.0
        self.effective = EffectivePriority(self.priority)
        self.overdue_at = NEVER
        self.stated_deadline = item.deadline
        self.deadline = NEVER
        self.deferral: Deferral | None = None
        self.queued = True
        self.refusal: Refusal | None = None
        self.subset: tuple[str, ...] | None = None
        self.version = 0

    @property
    def waiting(self) -> QueuedRequest:
        """The request; only while it is queued.

        Raises:
            ValueError: it has left the queue.
        """
        if self.item is None:
            raise ValueError("the request has left the queue")
        return self.item

    def leave(self) -> QueuedRequest:
        """Takes the request out of the entry, so that slots which still name the entry do not keep its body."""
        item = self.waiting
        self.item = None
        self.queued = False
        self.version += 1
        return item


class FlowQueue:
    """The requests of one fairness id in one band, by rank and then by arrival.

    Removing one from the middle leaves a stale slot behind, which is skipped when it comes to the front.
    """

    __slots__ = ("_slots", "fairness_id", "length", "ranked_head", "ranking")

    def __init__(self, fairness_id: str) -> None:
        self.fairness_id = fairness_id
        self.length = 0
        self.ranked_head: Entry | None = None
        """The head that the band's fairness policy ranked last."""
        self.ranking = 0
        """Tells the flow's current place in its band from earlier ones."""
        self._slots: list[tuple[float, int, int, Entry]] = []

    def add(self, entry: Entry) -> None:
        """Lets an entry wait, at its rank."""
        heappush(self._slots, (entry.rank, entry.sequence, entry.version, entry))
        self.length += 1

    def discard(self, entry: Entry) -> None:
        """Takes out an entry, wherever it stands; it must be one of this flow."""
        entry.version += 1
        self.length -= 1
        if len(self._slots) > 2 * self.length + _SLACK:
            self._slots = [slot for slot in self._slots if slot[3].version == slot[2]]
            heapify(self._slots)

    def head(self) -> Entry | None:
        """The first one, or None when nobody waits."""
        slots = self._slots
        while slots:
            _, _, version, entry = slots[0]
            if entry.version == version:
                return entry
            heappop(slots)
        return None

    def __iter__(self) -> Iterator[Entry]:
        return (entry for _, _, version, entry in self._slots if entry.version == version)
