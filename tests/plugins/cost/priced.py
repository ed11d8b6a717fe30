"""Requests with costs: a producer that prices tokens by the million, and a budget behind it."""

from collections.abc import Mapping, Sequence

from plugins.generated import decided, produce, response_of
from turnout.framework import (
    PROMPT,
    Completion,
    CycleState,
    Endpoint,
    InferenceRequest,
    Prompt,
    Refusal,
    ResponseChunk,
    Termination,
    Usage,
)
from turnout.framework.testing import make_endpoint, make_request
from turnout.plugins.cost.budget import CostBudget
from turnout.plugins.cost.prices import PriceEntry
from turnout.plugins.cost.producer import ExpectedCostProducer

# A token of the prompt costs 1 and one of the answer 2 at a cheap endpoint; five times as much at a dear one.
CHEAP = make_endpoint("cheap", labels={"instance-type": "small"})
DEAR = make_endpoint("dear", labels={"instance-type": "large"})
NAMELESS = make_endpoint("nameless")
PRICES = (
    PriceEntry("small", input_per_million=1e6, output_per_million=2e6),
    PriceEntry("large", input_per_million=5e6, output_per_million=10e6),
)


def token_pricing(expected_output_tokens: int = 10, most_output_tokens: int = 20) -> ExpectedCostProducer:
    return ExpectedCostProducer(
        prices=PRICES, expected_output_tokens=expected_output_tokens, most_output_tokens=most_output_tokens
    )


def request_of(tenant: str = "t", headers: Mapping[str, str] | None = None) -> InferenceRequest:
    return make_request(fairness_id=tenant, headers=headers or {})


def state_of(prompt_tokens: int, now: float = 0.0) -> CycleState:
    state = CycleState(now)
    state.write(PROMPT, Prompt(b"x", prompt_tokens))
    return state


class Trip:
    """One request that goes to an endpoint, at the expected cost of 100 by default."""

    def __init__(
        self,
        budget: CostBudget,
        endpoint: Endpoint = CHEAP,
        *,
        prompt: int = 80,
        now: float = 0.0,
        tenant: str = "t",
        headers: Mapping[str, str] | None = None,
        pricing: ExpectedCostProducer | None = None,
        endpoints: Sequence[Endpoint] = (CHEAP, DEAR),
    ) -> None:
        self.budget = budget
        self.endpoint = endpoint
        self.request = request_of(tenant, headers)
        self.state = state_of(prompt, now)
        produce(pricing or token_pricing(), self.request, self.state, endpoints)
        produce(budget, self.request, self.state, endpoints)

    def go(self, now: float | None = None) -> Refusal | None:
        """Decides for the endpoint; reserves unless it is refused."""
        if now is not None:
            self.state.now = now
        refusal = self.budget.admit_decision(self.request, self.state, decided(self.endpoint))
        if refusal is None:
            self.budget.pre_request(self.request, self.state, decided(self.endpoint))
        return refusal

    def end(
        self,
        now: float,
        usage: Usage | None = None,
        *,
        cause: Termination = Termination.NATURAL,
        status: int | None = 200,
        first_byte_seconds: float | None = 0.1,
        whole: bool = True,
    ) -> None:
        self.state.now = now
        if usage is not None:
            piece = ResponseChunk(b"x", first=True, last=whole, usage=usage)
            self.budget.response_body(self.request, self.state, response_of(self.endpoint), piece)
        completion = Completion(
            self.endpoint, cause, status, usage=usage, first_byte_seconds=first_byte_seconds, duration_seconds=now
        )
        self.budget.response_complete(self.request, self.state, completion)
