"""Gives every flow its turn.

Theory of operation. Going round the flows in the order of their ids is the same as ranking a flow by the number of the
round in which its turn comes, and its id. A flow whose id lies behind the one that went last still has its turn in this
round, all others in the next. Neither can change while the flow waits, so a rank holds until the flow's head goes.

A request that goes out of turn (an overdue one) uses up the turn that its flow had. What waits keeps its place, and who
comes later waits for the round after that turn.
"""

from turnout.framework import FlowHead, FlowRank, PluginName, QueuedRequest, StateKey

DEFAULT_NAME = PluginName("round-robin-fairness-policy")
MAX_BANDS = 1_024


class RoundRobinFairnessPolicy:
    """The next flow that has requests goes, in the order of the flows' ids, and after the last one the first again.

    While a flow's head waits, every other flow goes at most once before it, but for overdue requests.

    Keeps the last turn of each priority, of the 1,024 that had dispatches most recently. One that was forgotten begins
    a round later than all others, so that what waits in it keeps its place.
    """

    def __init__(self, name: PluginName = DEFAULT_NAME) -> None:
        # By priority, the longest unused first: the round and the flow of the last turn.
        self._turns: dict[int, tuple[int, str]] = {}
        self._first_round = 0
        # A head's priority, and the round in which its turn comes.
        self._due_key = StateKey[tuple[int, int]]("round-robin-turn", producer=name)

    def flow_rank(self, flow: FlowHead, now: float) -> FlowRank:
        due = self._next_round(flow.priority, flow.fairness_id)
        flow.head.state.write(self._due_key, (flow.priority, due))
        return due, 0.0, flow.fairness_id

    def request_dispatched(self, item: QueuedRequest, priority: int, now: float) -> None:
        """The flow had its turn."""
        fairness_id = item.request.fairness_id
        ranked_for, due = item.state.get(self._due_key, (priority, -1))
        if due < 0 or ranked_for != priority:
            due = self._next_round(priority, fairness_id)
        turn = (due, fairness_id)
        # Queues of one priority share the rounds; what waited in a slow one must not turn them back.
        self._turns[priority] = max(turn, self._turns.pop(priority, turn))
        if len(self._turns) > MAX_BANDS:
            forgotten, _ = self._turns.pop(next(iter(self._turns)))
            self._first_round = max(self._first_round, forgotten + 1)

    def _next_round(self, priority: int, fairness_id: str) -> int:
        current, last = self._turns.get(priority, (self._first_round, fairness_id))
        return current if fairness_id > last else current + 1
