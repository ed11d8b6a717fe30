"""A naive queue in virtual time: it ranks a flow when its head changes, and lets the lowest rank go."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from plugins.generated import decided
from turnout.framework import (
    PROMPT,
    Completion,
    CounterReading,
    CycleState,
    FlowHead,
    FlowRank,
    InferenceRequest,
    Measured,
    Prompt,
    QueuedRequest,
    Reading,
    Refusal,
    RefusalKind,
    Termination,
    Usage,
)
from turnout.framework.testing import make_endpoint
from turnout.plugins.token_fairness.longest_prefix_ordering import LongestPrefixOrderingPolicy

ENDPOINT = make_endpoint()
REFUSAL = Refusal(RefusalKind.UNAVAILABLE, "no")


class Fairness(Protocol):
    def flow_rank(self, flow: FlowHead, now: float) -> FlowRank: ...

    def request_dispatched(self, item: QueuedRequest, priority: int, now: float) -> None: ...

    def response_complete(self, request: InferenceRequest, state: CycleState, completion: Completion) -> None: ...

    def request_refused(self, request: InferenceRequest, state: CycleState, refusal: Refusal) -> None: ...

    def readings(self) -> Iterable[Reading]: ...


@dataclass(eq=False)
class Job:
    """A request in the queue or on its way."""

    tenant: str
    item: QueuedRequest
    rank: float
    sequence: int


@dataclass
class QueueDriver:
    """Every step takes a second. ``flows`` has the waiting jobs by tenant, in the order in which they go."""

    policy: Fairness
    ordering: LongestPrefixOrderingPolicy | None = None
    now: float = 0.0
    flows: dict[str, list[Job]] = field(default_factory=dict)
    _ranks: dict[str, tuple[FlowRank, int, Job]] = field(default_factory=dict)
    _sequence: int = 0

    def arrive(
        self, tenant: str, tokens: int = 100, max_output_tokens: int | None = None, data: bytes = b"", salt: str = ""
    ) -> Job:
        self.now += 1.0
        self._sequence += 1
        state = CycleState(self.now)
        state.write(PROMPT, Prompt(data, tokens, salt))
        request = InferenceRequest(
            str(self._sequence), fairness_id=tenant, max_output_tokens=max_output_tokens, target_model="m"
        )
        item = QueuedRequest(request, self.now, state=state)
        rank = self.now if self.ordering is None else self.ordering.rank(item, self.now)
        job = Job(tenant, item, rank, self._sequence)
        flow = self.flows.setdefault(tenant, [])
        flow.append(job)
        flow.sort(key=lambda each: (each.rank, each.sequence))
        self._rank(tenant)
        return job

    def dispatch(self) -> Job | None:
        """Lets the flow with the lowest rank go; of equal ones that whose head came first."""
        if not self.flows:
            return None
        self.now += 1.0
        _, _, job = min(self._ranks.values(), key=lambda place: place[:2])
        del self._ranks[job.tenant]
        self.policy.request_dispatched(job.item, 0, self.now)
        if self.ordering is not None:
            self.ordering.pre_request(job.item.request, job.item.state, decided(ENDPOINT))
        self._leave(job)
        return job

    def withdraw(self, job: Job) -> None:
        self.now += 1.0
        self._leave(job)
        self.policy.request_refused(job.item.request, job.item.state, REFUSAL)

    def complete(self, job: Job, usage: Usage | None) -> None:
        self.now += 1.0
        job.item.state.now = self.now
        self.policy.response_complete(
            job.item.request, job.item.state, Completion(ENDPOINT, Termination.NATURAL, usage=usage)
        )

    def refuse(self, job: Job) -> None:
        """The job was dispatched from the queue and did not run."""
        self.now += 1.0
        self.policy.request_refused(job.item.request, job.item.state, REFUSAL)

    def _leave(self, job: Job) -> None:
        flow = self.flows[job.tenant]
        flow.remove(job)
        if flow:
            self._rank(job.tenant)
        else:
            del self.flows[job.tenant]
            self._ranks.pop(job.tenant, None)

    def _rank(self, tenant: str) -> None:
        flow = self.flows[tenant]
        head = flow[0]
        ranked = self._ranks.get(tenant)
        if ranked is None or ranked[2] is not head:
            shown = FlowHead(tenant, head.item, len(flow), 0, head.rank)
            self._ranks[tenant] = (self.policy.flow_rank(shown, self.now), head.sequence, head)


def counted(policy: Measured, name: str, **labels: str) -> float:
    """The policy's counter of charged or corrected tokens with these labels; 0 if there is none."""
    return sum(
        reading.value
        for reading in policy.readings()
        if isinstance(reading, CounterReading)
        and reading.name == f"token_fairness_{name}_tokens_total"
        and reading.labels == labels
    )
