"""What a request costs: an estimate before it runs, the real cost once its usage is known."""

from collections import OrderedDict

from turnout.framework import Usage
from turnout.plugins.token_fairness.parameters import CostParameters

MAX_TOKENS = 100_000_000
"""More than any context holds: one absurd count must not weigh for ever."""

LEAST_COST = 1.0
"""A request that costs nothing would go first for ever."""

MEMORY = 32
"""Answers that a tenant's mean speaks of."""


class Costs:
    """Costs in weighted tokens: input, and ``output_weight`` times output.

    Remembers the mean length of answers of the ``max_tenants`` tenants that got the latest ones.
    """

    def __init__(self, parameters: CostParameters) -> None:
        self._parameters = parameters
        self._answers: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def estimated(self, tenant: str, prompt_tokens: int, max_output_tokens: int | None) -> float:
        """The prompt and the output that is to be expected: the tenant's mean, at most what the request allows."""
        mean, _ = self._answers.get(tenant, (float(self._parameters.expected_output_tokens), 0))
        output = mean if max_output_tokens is None else min(mean, _counted(max_output_tokens))
        return self._cost(_counted(prompt_tokens), output)

    def real(self, usage: Usage) -> float:
        """By what the engine says."""
        prompt = _counted(usage.prompt_tokens)
        if not self._parameters.count_cached_tokens:
            prompt = max(0, prompt - _counted(usage.cached_tokens or 0))
        return self._cost(prompt, _counted(usage.completion_tokens))

    def learn(self, tenant: str, usage: Usage) -> None:
        """Takes an answer's length into the tenant's mean: of the first 32 each counts the same, later ones fade."""
        mean, answers = self._answers.pop(tenant, (0.0, 0))
        answers = min(answers + 1, MEMORY)
        self._answers[tenant] = (mean + (_counted(usage.completion_tokens) - mean) / answers, answers)
        if len(self._answers) > self._parameters.max_tenants:
            self._answers.popitem(last=False)

    def _cost(self, prompt: float, output: float) -> float:
        return max(LEAST_COST, prompt + self._parameters.output_weight * output)


def _counted(tokens: int) -> int:
    return min(max(0, tokens), MAX_TOKENS)
