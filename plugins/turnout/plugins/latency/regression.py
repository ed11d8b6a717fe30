"""How much slower or faster each part of a prediction really is.

Theory of operation. A prediction is a sum of parts (the prompt, those before it, the batch...), each in seconds by the
prior. What is observed, divided by the sum, is explained as the mean of one factor for each part, weighted by the
part's share in the sum: a linear regression of the ratio on the shares, in which errors are relative and so weigh the
same for short and long requests. Factors start at 1. Older observations fade, and each factor is drawn a little towards
1 all the time, so that a part which nothing was seen of for long is what the prior says.
"""

import math
from collections.abc import Mapping, Sequence

from turnout.plugins.latency.learners import BayesianLinearRegression

FADING = 0.97
"""What is left of the weight of an observation after the next one: the last 33 or so count."""

PULL = 0.06
"""The share of an imagined observation of factor 1 that comes with each real one."""

PRIOR_VARIANCE = 3.0
"""The larger, the fewer observations outweigh the prior: about eleven with this one."""

MIN_FACTOR, MAX_FACTOR = 0.02, 50.0


class PartFactors:
    """The factors of the named parts. Memory is bounded by their number."""

    def __init__(self, parts: Sequence[str]) -> None:
        self._parts = tuple(parts)
        self._regression = BayesianLinearRegression(alpha=PRIOR_VARIANCE, smoothing=FADING)
        self._next_pulled = 0
        for part in self._parts:
            self._regression.learn_one({part: 1.0}, 0.0)
        self.values: Sequence[float] = (1.0,) * len(self._parts)
        """One factor for each part, in their order."""

    def learn(self, shares: Mapping[str, float], ratio: float) -> None:
        """Takes in an observation: the share of each part in the prior's sum, and by what ratio it took longer."""
        regression, parts = self._regression, self._parts
        regression.learn_one(dict(shares), ratio - 1.0)
        regression.learn_one({parts[self._next_pulled]: PULL}, 0.0)
        self._next_pulled = (self._next_pulled + 1) % len(parts)
        self._read_off()

    def restore(self, factors: Mapping[str, float], weight: int) -> None:
        """Begins with these factors, as if so many observations of each had shown them."""
        for _ in range(weight):
            for part, factor in factors.items():
                if part in self._parts:
                    self._regression.learn_one({part: 1.0}, _bounded(factor) - 1.0)
        self._read_off()

    def _read_off(self) -> None:
        regression = self._regression
        self.values = tuple(_bounded(1.0 + float(regression.predict_one({part: 1.0}))) for part in self._parts)


def _bounded(factor: float) -> float:
    return min(MAX_FACTOR, max(MIN_FACTOR, factor)) if math.isfinite(factor) else 1.0
