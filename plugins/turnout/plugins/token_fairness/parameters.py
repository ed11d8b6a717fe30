"""The parameters that fairness by cost has, whichever policy applies it, and checks of ranges."""

from collections.abc import Mapping
from dataclasses import dataclass, field

LEAST_WEIGHT = 1e-6
GREATEST_WEIGHT = 1e6

MAX_TENANT_CHARACTERS = 256
"""Tenants whose ids begin with the same 256 characters are one."""


def within(parameter: str, value: float, lowest: float, highest: float) -> None:
    """Accepts a number between the bounds.

    Raises:
        ValueError: it is not.
    """
    if not lowest <= value <= highest:
        raise ValueError(f"{parameter} must be within [{lowest}, {highest}], got {value}")


@dataclass(frozen=True, slots=True)
class CostParameters:
    """What a request costs and what share a tenant has; see ``TokenFairnessPolicy``.

    Raises:
        ValueError: one of them is out of its range.
    """

    weights: Mapping[str, float] = field(default_factory=dict)
    default_weight: float = 1.0
    output_weight: float = 2.0
    expected_output_tokens: int = 256
    count_cached_tokens: bool = True
    max_tenants: int = 10_000

    def __post_init__(self) -> None:
        for tenant, weight in self.weights.items():
            within(f"weights of {tenant!r}", weight, LEAST_WEIGHT, GREATEST_WEIGHT)
        within("default_weight", self.default_weight, LEAST_WEIGHT, GREATEST_WEIGHT)
        within("output_weight", self.output_weight, 0.0, 1000.0)
        within("expected_output_tokens", self.expected_output_tokens, 0, 1_000_000)
        within("max_tenants", self.max_tenants, 1, 1_000_000)

    def weight_of(self, tenant: str) -> float:
        """The tenant's share, next to those of others."""
        return self.weights.get(tenant, self.default_weight)
