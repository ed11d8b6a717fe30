"""What producers of costs and keepers of budgets publish about a request."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from turnout.framework import KeyFamily

DEFAULT_PRODUCER = "expected-cost-producer"
DEFAULT_BUDGET = "cost-budget"


@dataclass(frozen=True, slots=True)
class ExpectedCosts:
    """What one request is expected to cost at each endpoint, in units of ``currency``.

    ``costs`` is by endpoint name; an endpoint without an entry has no known price. Costs are finite and at least 0.
    """

    currency: str
    costs: Mapping[str, float]


class BudgetCheck(Protocol):
    """Whether a request may still be sent to an endpoint, asked at any moment before its dispatch."""

    def exceeded_by(self, endpoint_name: str, now: float) -> str:
        """The budget that the request would exceed there (``request``, ``tenant`` or ``pool``), empty if none.

        ``unknown`` where the cost is not known and the budget does not allow that.
        """
        ...


EXPECTED_COSTS: KeyFamily[ExpectedCosts] = KeyFamily("expected-costs", DEFAULT_PRODUCER)
BUDGET_CHECK: KeyFamily[BudgetCheck] = KeyFamily("cost-budget-check", DEFAULT_BUDGET)
