"""The requests of one effective priority: flows, and the fairness policy that chooses among them."""

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from itertools import count
from typing import TypeAlias

from turnout.epp.flowcontrol.entry import Entry, FlowQueue
from turnout.epp.flowcontrol.guard import Guard, a_number
from turnout.framework import (
    DispatchAccounting,
    ExtensionPoint,
    FairnessPolicy,
    FlowHead,
    FlowRank,
    Named,
    RankedFairnessPolicy,
)

AnyFairness: TypeAlias = Named[FairnessPolicy] | Named[RankedFairnessPolicy]

_SLACK = 16
GONE = -1


class Band:
    """Flows that have requests. A flow without any is forgotten; what a policy remembers of it is the policy's.

    With a ``RankedFairnessPolicy`` adding, removing and choosing cost the logarithm of the number of flows; a
    ``FairnessPolicy`` looks at all flows at each choice.
    """

    def __init__(self, priority: int, fairness: AnyFairness, guard: Guard) -> None:
        self.priority = priority
        self.length = 0
        self._guard = guard
        self._flows: dict[str, FlowQueue] = {}
        self._ranked, self._choosing = _kinds(fairness)
        self._accounting = _accounting(fairness)
        self._rankings = count()
        self._places: list[tuple[FlowRank, int, int, FlowQueue]] = []

    @property
    def flow_count(self) -> int:
        """How many flows have requests."""
        return len(self._flows)

    def add(self, entry: Entry, now: float) -> None:
        """Lets an entry wait, at the rank that it has."""
        fairness_id = entry.waiting.request.fairness_id
        flow = self._flows.get(fairness_id)
        if flow is None:
            flow = self._flows[fairness_id] = FlowQueue(fairness_id)
        flow.add(entry)
        self.length += 1
        self._place(flow, now)

    def discard(self, entry: Entry, now: float) -> None:
        """Takes out one of the band's entries, wherever it goes."""
        flow = self._flows[entry.waiting.request.fairness_id]
        flow.discard(entry)
        self.length -= 1
        if flow.length:
            self._place(flow, now)
        else:
            flow.ranking = GONE
            del self._flows[flow.fairness_id]

    def dispatch(self, entry: Entry, now: float) -> None:
        """Takes out one of the band's entries that goes to an endpoint."""
        # What the policy learns may change the place of the flow, even if its head stays.
        self._flows[entry.waiting.request.fairness_id].ranked_head = None
        if self._accounting is not None:
            item, priority = entry.waiting, self.priority
            self._guard.ask(
                self._accounting,
                ExtensionPoint.FAIRNESS,
                lambda policy: policy.request_dispatched(item, priority, now),
                None,
            )
        self.discard(entry, now)

    def next(self, now: float) -> Entry | None:
        """Whose turn it is."""
        if self._choosing is not None and len(self._flows) > 1:
            return self._chosen(self._choosing, now)
        if self._ranked is None:
            return next((flow.head() for flow in self._flows.values()), None)
        while self._places:
            _, _, ranking, flow = self._places[0]
            if flow.ranking == ranking and flow.length:
                return flow.head()
            heappop(self._places)
        return None

    def __iter__(self) -> Iterator[Entry]:
        for flow in self._flows.values():
            yield from flow

    def _place(self, flow: FlowQueue, now: float) -> None:
        """Gives a flow that has another head its place among the flows."""
        head = flow.head()
        if self._ranked is None or head is None or head is flow.ranked_head:
            return
        flow.ranked_head = head
        flow.ranking = next(self._rankings)
        heappush(self._places, (self._rank(self._ranked, flow, head, now), head.sequence, flow.ranking, flow))
        if len(self._places) > 2 * len(self._flows) + _SLACK:
            self._places = [place for place in self._places if place[3].ranking == place[2]]
            heapify(self._places)

    def _rank(self, fairness: Named[RankedFairnessPolicy], flow: FlowQueue, head: Entry, now: float) -> FlowRank:
        shown = self._shown(flow, head)
        instead = (head.rank, 0.0, "")
        return self._guard.ask(
            fairness, ExtensionPoint.FAIRNESS, lambda policy: _checked(policy.flow_rank(shown, now)), instead
        )

    def _chosen(self, fairness: Named[FairnessPolicy], now: float) -> Entry | None:
        heads = [(flow, head) for flow in self._flows.values() if (head := flow.head()) is not None]
        by_item: dict[int, Entry] = {id(head.waiting): head for _, head in heads}
        shown = [self._shown(flow, head) for flow, head in heads]
        first = min((head for _, head in heads), key=lambda head: (head.rank, head.sequence))

        def choose(policy: FairnessPolicy) -> Entry:
            return by_item[id(policy.choose(shown, now).head)]

        return self._guard.ask(fairness, ExtensionPoint.FAIRNESS, choose, first)

    def _shown(self, flow: FlowQueue, head: Entry) -> FlowHead:
        return FlowHead(flow.fairness_id, head.waiting, flow.length, self.priority, head.rank)


def _kinds(fairness: AnyFairness) -> tuple[Named[RankedFairnessPolicy] | None, Named[FairnessPolicy] | None]:
    plugin, name = fairness.plugin, fairness.name
    if isinstance(plugin, RankedFairnessPolicy):
        return Named(plugin, name), None
    return None, Named(plugin, name)


def _accounting(fairness: AnyFairness) -> Named[DispatchAccounting] | None:
    plugin = fairness.plugin
    return Named(plugin, fairness.name) if isinstance(plugin, DispatchAccounting) else None


def _checked(rank: FlowRank) -> FlowRank:
    first, second, text = rank
    return (a_number(first), a_number(second), text)
