"""Keeps what requests cost within budgets."""

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from turnout.framework import (
    Classification,
    Completion,
    CycleState,
    Diagnosis,
    Endpoint,
    Finding,
    InferenceRequest,
    PluginName,
    Reading,
    Refusal,
    RefusalKind,
    Response,
    ResponseChunk,
    SchedulingResult,
    StateKey,
    Termination,
)
from turnout.plugins.cost.budget_header import stated_budget
from turnout.plugins.cost.keys import BUDGET_CHECK, DEFAULT_BUDGET
from turnout.plugins.cost.ledger import Ledger
from turnout.plugins.cost.prices import TokenPrice
from turnout.plugins.cost.quotes import QUOTES, Quote, Quotes
from turnout.plugins.cost.spending import MAX_COST, SLICE_SECONDS, UNITS, Spending, amount_of
from turnout.plugins.cost.tenants import TenantAccounts

DEFAULT_NAME = PluginName(DEFAULT_BUDGET)
DROPPED_REASON = "rejected-budget"
MAX_TENANTS = 100_000
MAX_TENANT_NAME = 256
_FIRST_ERROR = 400

_REFUSED: Mapping[str, str] = {
    "request": "the request would cost more than it may",
    "tenant": "the tenant's budget of this hour is spent",
    "pool": "the pool's budget of this hour is spent",
    "unknown": "what the request would cost is not known",
}


@dataclass(slots=True)
class _Charge:
    """What a request has reserved, until its end."""

    quote: Quote | None
    reserved: int
    sent_at: float
    tenant: str
    account: Spending | None
    variant: str
    is_settled: bool = False
    saw_all: bool = False


class CostBudget:
    """Refuses what would cost more than the budgets leave: of the pool and of each tenant in an hour, of each request.

    A request reserves its cost in the pool's budget and its tenant's when it is dispatched, and in the place of that
    comes its real cost when it has ended. ``reserve`` says how much: what is ``expected``, or the ``most`` that it can
    be. Reserved and spent together never exceed a budget by more than the ends of the last hour cost more than they
    had reserved; with ``most``, and answers within what the request allows, that is nothing. The hour slides, in
    slices of a minute.

    A tenant is the fairness id, or the value of ``tenant_header`` where that is not empty. ``tenants_per_hour`` has
    budgets of their own for tenants by name; all others have ``tenant_per_hour``. Beyond ``max_tenants`` of those with
    costs in the last hour, further ones share one such budget. ``per_request`` is every request's budget, unless it
    states a lower one in a header (``x-turnout-cost-budget``). None is no budget.

    The real cost is that of the tokens that the engine reports, where responses pass the Endpoint Picker, which
    ``read_usage`` sees to. Without a report it is the expected one; by a price of time, at most that of the time that
    the request took; by a price of tokens, nothing for a request that got an error for an answer.

    Where the cost of a request is not known, ``unknown_cost`` says whether it is refused or passes uncounted. As a
    filter of a profile the plugin drops endpoints that the budgets do not allow, unless they allow none.

    Raises:
        ValueError: a budget is negative or not finite, or ``max_tenants`` is out of range.
    """

    def __init__(
        self,
        pool_per_hour: float | None = None,
        tenant_per_hour: float | None = None,
        tenants_per_hour: Mapping[str, float] | None = None,
        per_request: float | None = None,
        tenant_header: str = "",
        max_tenants: int = 1000,
        reserve: Literal["expected", "most"] = "expected",
        unknown_cost: Literal["refuse", "allow"] = "refuse",
        read_usage: bool = False,
        variant_label: str = "instance-type",
        expected_cost_producer_name: str = "",
        name: PluginName = DEFAULT_NAME,
    ) -> None:
        if not 1 <= max_tenants <= MAX_TENANTS:
            raise ValueError(f"max_tenants must be from 1 to {MAX_TENANTS}, got {max_tenants}")
        named = {
            tenant: _limit(f"tenants_per_hour of {tenant!r}", own) for tenant, own in (tenants_per_hour or {}).items()
        }
        self._pool = Spending(None if pool_per_hour is None else _limit("pool_per_hour", pool_per_hour))
        limit = None if tenant_per_hour is None else _limit("tenant_per_hour", tenant_per_hour)
        self._tenants = TenantAccounts(limit, named, max_tenants)
        self._per_request = None if per_request is None else _limit("per_request", per_request)
        self._tenant_header = tenant_header.strip().lower()
        self._reserves_most = reserve == "most"
        self._allows_unknown = unknown_cost == "allow"
        self.needs_response_body = read_usage
        self._variant_label = variant_label
        self._ledger = Ledger(self._pool, self._tenants)
        self._quotes_key = QUOTES.of(expected_cost_producer_name)
        self._check_key = BUDGET_CHECK.of(name)
        self._charge_key = StateKey[_Charge]("cost-charge", producer=name)
        self.reads = (self._quotes_key,)
        self.writes = (self._check_key,)

    def classify(self, request: InferenceRequest, state: CycleState) -> Classification | Refusal:
        """Refuses a budget that is no number, before the request has to wait."""
        try:
            stated_budget(request.headers)
        except ValueError as error:
            return Refusal(RefusalKind.BAD_REQUEST, str(error))
        return Classification()

    async def produce(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> None:
        """Writes the check of budgets, for those who decide."""
        state.write(self._check_key, _Check(self, request, state.get(self._quotes_key)))

    def filter(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        """Keeps the endpoints that the budgets allow; all where they allow none, for ``admit_decision`` to refuse."""
        exceeded_by = self._room(request, state.now).exceeded_by
        amount_at = self._amounts(state.get(self._quotes_key))
        return [endpoint for endpoint in endpoints if not exceeded_by(amount_at(endpoint.name))] or endpoints

    def admit_decision(self, request: InferenceRequest, state: CycleState, result: SchedulingResult) -> Refusal | None:
        """Refuses what a budget does not allow at the chosen endpoint, and says when it may."""
        quotes = state.get(self._quotes_key)
        exceeded = self.exceeded_by(request, quotes, result.endpoint.name, state.now)
        if not exceeded:
            return None
        self._ledger.refused(exceeded)
        seconds = self._seconds_until_it_fits(request, quotes, result.endpoint.name, state.now, exceeded)
        return Refusal(RefusalKind.RESOURCE_EXHAUSTED, _REFUSED[exceeded], DROPPED_REASON, seconds)

    def pre_request(self, request: InferenceRequest, state: CycleState, result: SchedulingResult) -> None:
        """Reserves the cost."""
        state.discard(self._check_key)  # it has what is known of all candidates
        endpoint = result.endpoint
        quote = _quote(state.get(self._quotes_key), endpoint.name)
        tenant = self._tenant(request)
        account = self._tenants.of(tenant, state.now)
        reserved = self._amount(quote)
        charge = _Charge(quote, reserved, state.now, tenant, account, endpoint.labels.get(self._variant_label, ""))
        state.write(self._charge_key, charge)
        self._pool.reserve(reserved)
        if account is not None:
            self._tenants.taken(tenant, account)
            account.reserve(reserved)
        self._ledger.at(state.now)

    def response_body(
        self, request: InferenceRequest, state: CycleState, response: Response, chunk: ResponseChunk
    ) -> None:
        """Notes that all of the response passed, so that its usage is the last word."""
        charge = state.get(self._charge_key)
        if chunk.last and charge is not None:
            charge.saw_all = True

    def response_complete(self, request: InferenceRequest, state: CycleState, completion: Completion) -> None:
        """Puts the real cost in the place of the reserved one."""
        charge = state.get(self._charge_key)
        if charge is None or charge.is_settled:
            return
        charge.is_settled = True
        cost = amount_of(_real_cost(charge, completion, state.now - charge.sent_at))
        self._pool.settle(charge.reserved, cost, state.now)
        label = charge.tenant
        if charge.account is not None:
            charge.account.settle(charge.reserved, cost, state.now)
            label = self._tenants.label(charge.tenant, charge.account)
        self._ledger.settled(charge.variant, label, cost, charge.reserved, state.now)

    async def run(self) -> None:
        """Keeps the readings true while there are no requests."""
        while True:
            self._ledger.at(asyncio.get_running_loop().time())
            await asyncio.sleep(SLICE_SECONDS)

    def readings(self) -> Iterable[Reading]:
        """What was spent, by variant and tenant; what is spent in the hour, reserved and left of each budget."""
        return self._ledger.readings()

    def diagnose(self, endpoints: Sequence[Endpoint], now: float) -> Diagnosis:
        """Costs that are not known, and tenants that share a budget."""
        findings = []
        if self._ledger.refusals.get("unknown"):
            message = "requests were refused because the endpoint has no known price; give it one, or allow that"
            findings.append(Finding("unknown-cost", message))
        if self._tenants.is_shared:
            findings.append(Finding("shared-budget", "more tenants than max_tenants: those beyond share one budget"))
        return Diagnosis(findings)

    def exceeded_by(self, request: InferenceRequest, quotes: Quotes | None, endpoint_name: str, now: float) -> str:
        """The budget that the request would exceed at the endpoint; empty if none."""
        quote = _quote(quotes, endpoint_name)
        return self._room(request, now).exceeded_by(None if quote is None else self._amount(quote))

    def _room(self, request: InferenceRequest, now: float) -> "_Room":
        account = self._tenants.of(self._tenant(request), now)
        return _Room(
            request=self._own_limit(request),
            tenant=None if account is None else account.left(now),
            pool=self._pool.left(now),
            allows_unknown=self._allows_unknown,
        )

    def _amounts(self, quotes: Quotes | None) -> Callable[[str], int | None]:
        """What the request would reserve at an endpoint; None where that is not known."""
        if self._reserves_most or quotes is None:
            return lambda name: None if (quote := _quote(quotes, name)) is None else self._amount(quote)
        costs = quotes.expected_costs()
        return lambda name: None if (cost := costs.get(name)) is None else amount_of(cost)

    def _seconds_until_it_fits(
        self, request: InferenceRequest, quotes: Quotes | None, endpoint_name: str, now: float, exceeded: str
    ) -> float | None:
        if exceeded not in ("tenant", "pool"):
            return None
        amount = self._amount(_quote(quotes, endpoint_name))
        account = self._tenants.of(self._tenant(request), now)
        waits = [budget.seconds_until(amount, now) for budget in (self._pool, account) if budget is not None]
        known = [wait for wait in waits if wait is not None]
        return math.ceil(max(known)) if len(known) == len(waits) else None

    def _amount(self, quote: Quote | None) -> int:
        if quote is None:
            return 0
        return amount_of(quote.most if self._reserves_most else quote.expected)

    def _own_limit(self, request: InferenceRequest) -> int | None:
        stated = stated_budget(request.headers)
        limits = [self._per_request, None if stated is None else _floor_amount(stated)]
        return min((limit for limit in limits if limit is not None), default=None)

    def _tenant(self, request: InferenceRequest) -> str:
        named = request.headers.get(self._tenant_header) if self._tenant_header else request.fairness_id
        return (named or "")[:MAX_TENANT_NAME]


@dataclass(frozen=True, slots=True)
class _Room:
    """What each budget has left for a request; None without a limit."""

    request: int | None
    tenant: int | None
    pool: int | None
    allows_unknown: bool

    def exceeded_by(self, amount: int | None) -> str:
        if amount is None:
            return "" if self.allows_unknown else "unknown"
        if self.request is not None and amount > self.request:
            return "request"
        if self.tenant is not None and amount > self.tenant:
            return "tenant"
        return "pool" if self.pool is not None and amount > self.pool else ""


@dataclass(frozen=True, slots=True)
class _Check:
    budget: CostBudget
    request: InferenceRequest
    quotes: Quotes | None

    def exceeded_by(self, endpoint_name: str, now: float) -> str:
        return self.budget.exceeded_by(self.request, self.quotes, endpoint_name, now)


def _quote(quotes: Quotes | None, endpoint_name: str) -> Quote | None:
    return None if quotes is None else quotes.at(endpoint_name)


def _real_cost(charge: _Charge, completion: Completion, seconds: float) -> float:
    quote, usage = charge.quote, completion.usage
    if quote is None:
        return 0.0
    failed = completion.status is not None and completion.status >= _FIRST_ERROR
    unanswered = completion.cause is Termination.ERROR and completion.first_byte_seconds is None
    if isinstance(quote.price, TokenPrice) and usage is None and (failed or unanswered):
        return 0.0
    cost = quote.settled(usage, seconds)
    # Engines can be asked to report as they go: what a first piece says is not what the request used.
    return cost if charge.saw_all else max(cost, quote.settled(None, seconds))


def _limit(name: str, budget: float) -> int:
    if not 0.0 <= budget < math.inf:
        raise ValueError(f"{name} must be at least 0 and finite, got {budget}")
    return _floor_amount(budget)


def _floor_amount(budget: float) -> int:
    # Costs are rounded up and budgets down, so that rounding never exceeds one.
    return math.floor(min(budget, MAX_COST) * UNITS)
