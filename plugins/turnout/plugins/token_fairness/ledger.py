"""Charges requests to their tenants at dispatch, and corrects each charge once when the real cost is known."""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from turnout.framework import (
    PROMPT,
    Completion,
    CycleState,
    FlowHead,
    InferenceRequest,
    PluginName,
    Prompt,
    QueuedRequest,
    Reading,
    StateKey,
)
from turnout.plugins.token_fairness.costs import Costs
from turnout.plugins.token_fairness.counters import Account, Counters
from turnout.plugins.token_fairness.parameters import MAX_TENANT_CHARACTERS, CostParameters
from turnout.plugins.token_fairness.tenant_totals import TenantTotals

MAX_BANDS = 64


@dataclass(frozen=True, slots=True)
class Charge:
    """What a request was charged, in weighted tokens, and to whom."""

    counters: Counters
    account: Account
    tenant: str
    weight: float
    cost: float


class Ledger:
    """The tenants of all bands; ``plugin`` is the name under which charges are kept in the states of requests.

    Of at most 64 bands those are known that dispatched last. A band that was forgotten begins again at the highest
    counter that any of the forgotten had, so that nobody who waits there with an old tag comes later for it.
    """

    def __init__(self, parameters: CostParameters, plugin: PluginName, quantum: int = 0) -> None:
        self._parameters = parameters
        self._quantum = quantum
        self._costs = Costs(parameters)
        self._totals = TenantTotals()
        self._charge_key: StateKey[Charge] = StateKey("token-fairness-charge", producer=plugin)
        self._bands: OrderedDict[int, Counters] = OrderedDict()
        self._begin = 0.0

    def tag(self, flow: FlowHead, now: float) -> float:
        """The tenant's counter, in tokens per unit of weight, as the flow gets this head."""
        counters = self._bands.get(flow.priority)
        if counters is None:
            return self._begin
        tenant = _tenant(flow.head.request)
        return counters.rank(tenant, flow.head.enqueued_at, now, others_wait=flow.length > 1)

    def dispatched(self, item: QueuedRequest, priority: int, now: float) -> None:
        """Charges the estimated cost in the band of the priority."""
        request, state = item.request, item.state
        self.given_up(state)
        tenant = _tenant(request)
        weight = self._parameters.weight_of(tenant)
        cost = self._costs.estimated(tenant, state.get(PROMPT, Prompt()).tokens, request.max_output_tokens)
        counters = self._band(priority)
        account = counters.charge(tenant, cost / weight, now)
        state.write(self._charge_key, Charge(counters, account, tenant, weight, cost))
        self._totals.charge(tenant, cost)
        self._keep_within_bounds()

    def completed(self, state: CycleState, completion: Completion) -> None:
        """Corrects the request's charge by its usage; without usage the estimate stands."""
        charge = self._taken(state)
        if charge is None:
            return
        usage = completion.usage
        if usage is None:
            charge.counters.correct(charge.account, 0.0)
            return
        self._costs.learn(charge.tenant, usage)
        self._correct(charge, self._costs.real(usage))

    def given_up(self, state: CycleState) -> None:
        """Gives back what a request was charged that was dispatched and did not run."""
        charge = self._taken(state)
        if charge is not None:
            self._correct(charge, 0.0)

    def readings(self) -> Iterable[Reading]:
        """Charged and corrected tokens of the largest tenants."""
        return self._totals.readings()

    def _taken(self, state: CycleState) -> Charge | None:
        charge = state.get(self._charge_key)
        state.discard(self._charge_key)
        return charge

    def _correct(self, charge: Charge, real: float) -> None:
        charge.counters.correct(charge.account, (real - charge.cost) / charge.weight)
        self._totals.correct(charge.tenant, real - charge.cost)

    def _band(self, priority: int) -> Counters:
        counters = self._bands.get(priority)
        if counters is None:
            counters = self._bands[priority] = Counters(self._begin, self._quantum)
        self._bands.move_to_end(priority)
        return counters

    def _keep_within_bounds(self) -> None:
        if len(self._bands) > MAX_BANDS:
            _, forgotten = self._bands.popitem(last=False)
            self._begin = max(self._begin, forgotten.top)
        while sum(map(len, self._bands.values())) > self._parameters.max_tenants:
            max(self._bands.values(), key=len).forget_one()


def _tenant(request: InferenceRequest) -> str:
    return request.fairness_id[:MAX_TENANT_CHARACTERS]
