"""Plays a script of arrivals, dispatches and ends against a policy, and measures what the bounds speak of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from hypothesis import strategies as st

from plugins.token_fairness.queue_driver import Fairness, Job, QueueDriver, counted
from turnout.framework import Usage

TENANTS = ("f", "g", "h")
OUTPUT_WEIGHT = 2.0


@dataclass(frozen=True)
class Arrive:
    """A request with its estimated prompt and output limit, and what it really takes; None: nobody says."""

    tenant: str
    tokens: int
    limit: int
    real: Usage | None
    refused: bool = False


@dataclass(frozen=True)
class Dispatch:
    pass


@dataclass(frozen=True)
class End:
    """One of the requests in flight ends; the number is taken modulo how many there are."""

    number: int


Step = Arrive | Dispatch | End


@dataclass
class Range:
    """The lowest and the highest value so far."""

    low: float = 0.0
    high: float = 0.0

    def take(self, value: float) -> None:
        self.low, self.high = min(self.low, value), max(self.high, value)

    @property
    def width(self) -> float:
        return self.high - self.low


@dataclass
class FairnessMeter:
    """Service and errors by tenant, divided by weight. ``gaps`` are the largest differences of service by pair."""

    policy: Fairness
    weights: Mapping[str, float]
    driver: QueueDriver = field(init=False)
    service: dict[str, float] = field(default_factory=lambda: dict.fromkeys(TENANTS, 0.0))
    largest: dict[str, float] = field(default_factory=lambda: dict.fromkeys(TENANTS, 0.0))
    errors: dict[str, Range] = field(default_factory=lambda: {tenant: Range() for tenant in TENANTS})
    gaps: dict[tuple[str, str], float] = field(default_factory=dict)
    flying: list[tuple[Job, Arrive]] = field(default_factory=list)
    _wanted: dict[Job, Arrive] = field(default_factory=dict)
    _error: dict[str, float] = field(default_factory=lambda: dict.fromkeys(TENANTS, 0.0))
    _errors_of: dict[Job, float] = field(default_factory=dict)
    _windows: dict[tuple[str, str], Range] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.driver = QueueDriver(self.policy)

    def play(self, script: Sequence[Step]) -> None:
        for step in script:
            if isinstance(step, Arrive):
                # One of three prompts, so that prefixes have their say where a policy asks for them.
                prompt = bytes([step.limit % 3]) * 1024
                self._wanted[self.driver.arrive(step.tenant, step.tokens, step.limit, prompt)] = step
            elif isinstance(step, Dispatch):
                self._dispatch()
            elif self.flying:
                self._end(*self.flying.pop(step.number % len(self.flying)))
            self._watch_pairs()

    def excess(self, pair: tuple[str, str], quantum: int = 0) -> float:
        """By how much the pair's difference of service is above what is allowed."""
        allowed = 2.0 * quantum + sum(self.largest[tenant] + self.errors[tenant].width for tenant in pair)
        return self.gaps.get(pair, 0.0) - allowed

    def _dispatch(self) -> None:
        before = {tenant: counted(self.policy, "charged", fairness_id=tenant) for tenant in TENANTS}
        job = self.driver.dispatch()
        if job is None:
            return
        tenant, wanted = job.tenant, self._wanted.pop(job)
        estimate = counted(self.policy, "charged", fairness_id=tenant) - before[tenant]
        cost = _cost(wanted, estimate) / self.weights[tenant]
        self._errors_of[job] = cost - estimate / self.weights[tenant]
        self.service[tenant] += cost
        self.largest[tenant] = max(self.largest[tenant], cost)
        self._add_error(tenant, self._errors_of[job])
        self.flying.append((job, wanted))
        for pair, window in self._windows.items():
            window.take(self._difference(pair))
            self.gaps[pair] = max(self.gaps.get(pair, 0.0), window.width)

    def _end(self, job: Job, wanted: Arrive) -> None:
        if wanted.refused:
            self.driver.refuse(job)
        else:
            self.driver.complete(job, wanted.real)
        self._add_error(job.tenant, -self._errors_of.pop(job))

    def _add_error(self, tenant: str, amount: float) -> None:
        self._error[tenant] += amount
        self.errors[tenant].take(self._error[tenant])

    def _watch_pairs(self) -> None:
        for pair in combinations(TENANTS, 2):
            if not set(pair) <= set(self.driver.flows):
                self._windows.pop(pair, None)
            elif pair not in self._windows:
                difference = self._difference(pair)
                self._windows[pair] = Range(difference, difference)

    def _difference(self, pair: tuple[str, str]) -> float:
        return self.service[pair[0]] - self.service[pair[1]]


def _cost(wanted: Arrive, estimate: float) -> float:
    if wanted.refused:
        return 0.0
    if wanted.real is None:
        return estimate
    return max(1.0, wanted.real.prompt_tokens + OUTPUT_WEIGHT * wanted.real.completion_tokens)


tenants = st.sampled_from(TENANTS)
usages = st.builds(Usage, st.integers(0, 400), st.integers(0, 400))
arrivals = st.builds(
    Arrive, tenants, st.integers(0, 400), st.integers(0, 400), st.none() | usages, st.sampled_from([False] * 9 + [True])
)
unmeasured_arrivals = st.builds(Arrive, tenants, st.integers(0, 400), st.integers(0, 400), st.none())
weights = st.fixed_dictionaries({tenant: st.sampled_from([0.5, 1.0, 2.0, 5.0]) for tenant in TENANTS})


def scripts(arrivals: st.SearchStrategy[Arrive]) -> st.SearchStrategy[list[Step]]:
    """Bursts of equal steps, so that tenants come and go, and some of them are idle while others get a lot."""
    dispatches: st.SearchStrategy[Step] = st.just(Dispatch())
    ends: st.SearchStrategy[Step] = st.builds(End, st.integers(0, 30))
    steps = st.one_of(arrivals, arrivals, dispatches, dispatches, ends)
    bursts = st.lists(st.tuples(steps, st.sampled_from([1, 1, 2, 3, 12])), max_size=60)
    return bursts.map(lambda found: [step for step, times in found for _ in range(times)])
