"""A band as flow control runs it, as plainly as possible: flows are lists, ranks are compared one by one."""

from collections.abc import Sequence

from turnout.framework import DispatchAccounting, FlowHead, FlowRank, QueuedRequest, RankedFairnessPolicy
from turnout.framework.testing import make_request


def waiting(fairness_id: str, enqueued_at: float = 0.0) -> QueuedRequest:
    """A request of the flow."""
    return QueuedRequest(make_request(fairness_id=fairness_id), enqueued_at)


def head_of(item: QueuedRequest, *, length: int = 1, priority: int = 0, head_rank: float = 0.0) -> FlowHead:
    """The flow whose first request this is."""
    return FlowHead(item.request.fairness_id, item, length, priority, head_rank)


def heads(*ids: str, enqueued_at: Sequence[float] = ()) -> list[FlowHead]:
    """One flow for each id, with a request each; they came in this order unless times are given."""
    times = enqueued_at or range(len(ids))
    return [head_of(waiting(fairness_id, at)) for fairness_id, at in zip(ids, times, strict=True)]


class RankedBand:
    """The flows of one priority, each with the rank that it got with its head."""

    def __init__(self, policy: RankedFairnessPolicy, priority: int = 0) -> None:
        self.policy = policy
        self.priority = priority
        self.flows: dict[str, list[QueuedRequest]] = {}
        self._ranks: dict[str, FlowRank] = {}
        self._arrivals = 0

    def arrive(self, fairness_id: str) -> None:
        self._arrivals += 1
        flow = self.flows.setdefault(fairness_id, [])
        flow.append(waiting(fairness_id, float(self._arrivals)))
        if len(flow) == 1:
            self._rank(fairness_id)

    def next_flow(self) -> str:
        return min(
            self.flows, key=lambda fairness_id: (self._ranks[fairness_id], self.flows[fairness_id][0].enqueued_at)
        )

    def dispatch(self, fairness_id: str | None = None) -> str:
        """The head of the next flow goes, or out of turn that of the named one."""
        gone = self.next_flow() if fairness_id is None else fairness_id
        item = self.flows[gone].pop(0)
        if isinstance(self.policy, DispatchAccounting):
            self.policy.request_dispatched(item, self.priority, 0.0)
        self._headless(gone)
        return gone

    def drop_head(self, fairness_id: str) -> None:
        """The client of the flow's first request left."""
        self.flows[fairness_id].pop(0)
        self._headless(fairness_id)

    def _headless(self, fairness_id: str) -> None:
        if self.flows[fairness_id]:
            self._rank(fairness_id)
        else:
            del self.flows[fairness_id], self._ranks[fairness_id]

    def _rank(self, fairness_id: str) -> None:
        flow = self.flows[fairness_id]
        head = head_of(flow[0], length=len(flow), priority=self.priority)
        self._ranks[fairness_id] = self.policy.flow_rank(head, 0.0)
