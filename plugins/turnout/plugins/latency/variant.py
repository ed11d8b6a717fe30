"""What was learnt of the endpoints of one kind, and of each of them."""

import math
from collections.abc import Mapping, Sequence

from turnout.plugins.latency.accuracy import Accuracy
from turnout.plugins.latency.regression import PartFactors

TTFT_PARTS = ("overhead", "prompt", "queue", "batch", "adapter")
TPOT_PARTS = ("weights", "batch", "prefill")

ENDPOINT_STEP = 0.12
"""How far one observation moves the factor of its endpoint."""

ENDPOINT_PULL = 0.01
"""How far it moves back to that of its variant with each."""

LEAST_CLIP, MOST_CLIP = math.log(1.5), math.log(20.0)
CLIP_SPREADS = 3.0
"""An observation further off than three spreads counts as one that is three spreads off: it may be an outlier."""


class LearntTime:
    """One of the two times, TTFT or TPOT, for one variant: the factors of its parts, and how good predictions are."""

    def __init__(self, parts: Sequence[str]) -> None:
        self.parts = tuple(parts)
        self.factors = PartFactors(parts)
        self.accuracy = Accuracy()

    def learn(self, priors: Sequence[float], observed: float, predicted: float, level: float) -> float:
        """Takes in what one request took; returns the endpoint's new level.

        ``priors`` are the seconds of each part by the prior, ``predicted`` what was predicted of them, and ``level``
        the logarithm of the endpoint's own factor. What is learnt from is at most some spreads away from what would be
        predicted by now; the accuracy sees what was predicted and what happened.
        """
        total = sum(priors)
        by_variant = sum(prior * factor for prior, factor in zip(priors, self.factors.values, strict=True))
        if not (total > 0.0 and by_variant > 0.0 and observed > 0.0 and predicted > 0.0):
            return level
        clip = min(MOST_CLIP, max(LEAST_CLIP, CLIP_SPREADS * self.accuracy.spread))
        residual = min(clip, max(-clip, math.log(observed / by_variant) - level))
        self.accuracy.observe(predicted, observed)
        shares = {part: prior / total for part, prior in zip(self.parts, priors, strict=True) if prior > 0.0}
        self.factors.learn(shares, by_variant * math.exp(residual) / total)
        return (level + ENDPOINT_STEP * residual) * (1.0 - ENDPOINT_PULL)

    def scale(self, ratio: float, level: float) -> float:
        """Takes in that a whole request took ``ratio`` times what was predicted; returns the endpoint's new level."""
        clip = min(MOST_CLIP, max(LEAST_CLIP, CLIP_SPREADS * self.accuracy.spread))
        residual = min(clip, max(-clip, math.log(ratio)))
        return (level + ENDPOINT_STEP * residual) * (1.0 - ENDPOINT_PULL)


class Variant:
    """All endpoints with the same values of some labels."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ttft = LearntTime(TTFT_PARTS)
        self.tpot = LearntTime(TPOT_PARTS)

    def factors(self) -> Mapping[str, Mapping[str, float]]:
        """What a later process may begin with."""
        return {
            kind: dict(zip(learnt.parts, learnt.factors.values, strict=True))
            for kind, learnt in (("ttft", self.ttft), ("tpot", self.tpot))
        }

    def restore(self, factors: Mapping[str, Mapping[str, float]], weight: int) -> None:
        """Begins with such factors, as if so many observations had shown them."""
        self.ttft.factors.restore(factors.get("ttft", {}), weight)
        self.tpot.factors.restore(factors.get("tpot", {}), weight)

    @property
    def spreads(self) -> tuple[float, float]:
        """Those of TTFT and of TPOT."""
        return self.ttft.accuracy.spread, self.tpot.accuracy.spread

    @property
    def confidence(self) -> float:
        """How far to believe predictions, 0 to 1: as the worse of the two times deserves."""
        return min(self.ttft.accuracy.confidence, self.tpot.accuracy.confidence)
