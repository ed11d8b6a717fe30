"""What was spent, for the metrics page."""

from collections.abc import Iterable
from itertools import islice

from turnout.framework import CounterReading, GaugeReading, Reading
from turnout.plugins.cost.spending import UNITS, Spending
from turnout.plugins.cost.tenants import SHARED, TenantAccounts

MAX_LABELS = 100
"""So many variants, and so many tenants, are shown by name; all others together."""


class Ledger:
    """Sums of the life of the process, by variant of endpoint and by tenant, and the state of the budgets."""

    def __init__(self, pool: Spending, tenants: TenantAccounts) -> None:
        self.refusals: dict[str, int] = {}
        self._pool = pool
        self._tenants = tenants
        self._by_variant: dict[str, int] = {}
        self._by_tenant: dict[str, int] = {}
        self._over = 0
        self._now = 0.0

    def at(self, now: float) -> None:
        """It is so late; readings are as of the latest time."""
        self._now = max(self._now, now)

    def refused(self, budget: str) -> None:
        """A request was refused for a budget."""
        self.refusals[budget] = self.refusals.get(budget, 0) + 1

    def settled(self, variant: str, tenant: str, cost: int, reserved: int, now: float) -> None:
        """A request has ended, and cost so much."""
        self.at(now)
        _add(self._by_variant, variant, cost)
        _add(self._by_tenant, tenant, cost)
        self._over += max(0, cost - reserved)

    def readings(self) -> Iterable[Reading]:
        """Costs in the currency of the prices."""
        spent = "What ended requests cost, by variant of endpoint."
        for variant, amount in self._by_variant.items():
            yield CounterReading("cost_spent_total", spent, amount / UNITS, {"variant": variant})
        of_tenants = "What ended requests cost, by tenant."
        for tenant, amount in self._by_tenant.items():
            yield CounterReading("cost_tenant_spent_total", of_tenants, amount / UNITS, {"tenant": tenant})
        over = "What requests cost more than they had reserved."
        yield CounterReading("cost_over_reservation_total", over, self._over / UNITS)
        refused = "Requests refused for a budget."
        for budget, count in self.refusals.items():
            yield CounterReading("cost_budget_refusals_total", refused, count, {"budget": budget})
        yield from self._of_budget(self._pool, {"budget": "pool", "tenant": ""})
        if self._tenants.shared is not None:
            # Not by the name of a tenant, which clients make up: a series must not be there twice.
            yield from self._of_budget(self._tenants.shared, {"budget": "shared", "tenant": ""})
        for tenant, account in islice(self._tenants.accounts(), MAX_LABELS):
            yield from self._of_budget(account, {"budget": "tenant", "tenant": tenant})

    def _of_budget(self, account: Spending, labels: dict[str, str]) -> Iterable[Reading]:
        account.forget(self._now)
        yield GaugeReading("cost_budget_spent", "Spent within the last hour.", account.spent / UNITS, labels)
        reserved = "Reserved by requests on their way."
        yield GaugeReading("cost_budget_reserved", reserved, account.reserved / UNITS, labels)
        if account.limit is not None:
            left = account.limit - account.spent - account.reserved
            yield GaugeReading("cost_budget_remaining", "Left of the budget of an hour.", left / UNITS, labels)


def _add(sums: dict[str, int], key: str, amount: int) -> None:
    if key not in sums and len(sums) >= MAX_LABELS:
        key = SHARED
    sums[key] = sums.get(key, 0) + amount
