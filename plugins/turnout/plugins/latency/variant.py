"""What was learnt of the endpoints of one kind, and of each of them."""

import math
from collections.abc import Mapping, Sequence

from turnout.plugins.latency.accuracy import Accuracy
from turnout.plugins.latency.learners import EWMean
from turnout.plugins.latency.regression import PartFactors

TTFT_PARTS = ("overhead", "weights", "prompt", "queue", "batch", "adapter")
TPOT_PARTS = ("weights", "batch", "prefill")

ENDPOINT_STEP = 0.12
"""How far one observation moves the factor of its endpoint."""

ENDPOINT_PULL = 0.01
"""How far it moves back to that of its variant with each."""

LEAST_CLIP, MOST_CLIP = math.log(1.5), math.log(20.0)
CLIP_SPREADS = 3.0
"""An observation further off than three spreads counts as one that is three spreads off: it may be an outlier."""

STEADY_CLIP = 0.5
"""While errors go both ways, an observation counts at most as one that is off by half of the usual error.

So it is the median that is learnt, whatever a few slow requests took.
"""

STEADY_LEANING, DRIFTING_LEANING = 0.6, 0.9
"""Errors that go one way by this much are a drift, which is followed with larger steps."""

LEANING_MEMORY = 0.15
USUAL_MEMORY = 0.05
OBSERVATIONS_TO_BE_STEADY = 10


class LearntTime:
    """One of the two times, TTFT or TPOT, for one variant: the factors of its parts, and how good predictions are."""

    def __init__(self, parts: Sequence[str]) -> None:
        self.parts = tuple(parts)
        self.factors = PartFactors(parts)
        self.accuracy = Accuracy()
        self._leaning = EWMean(LEANING_MEMORY)
        self._usual = EWMean(USUAL_MEMORY)

    def by_variant(self, priors: Sequence[float]) -> float:
        """Seconds by what is known of the variant, of which each part takes so long by the prior."""
        return sum(prior * factor for prior, factor in zip(priors, self.factors.values, strict=True))

    def learn(self, priors: Sequence[float], observed: float, predicted: float, level: float) -> float:
        """Takes in what one request took; returns the endpoint's new level.

        ``priors`` are the seconds of each part by the prior, ``predicted`` what was predicted of them, and ``level``
        the logarithm of the endpoint's own factor. What is learnt from is at most some spreads away from what would be
        predicted by now; the accuracy sees what was predicted and what happened.
        """
        total, by_variant = sum(priors), self.by_variant(priors)
        if not (total > 0.0 and by_variant > 0.0 and observed > 0.0 and predicted > 0.0):
            return level
        residual = self._counted(math.log(observed / by_variant) - level)
        self.accuracy.observe(predicted, observed)
        shares = {part: prior / total for part, prior in zip(self.parts, priors, strict=True) if prior > 0.0}
        self.factors.learn(shares, by_variant * math.exp(residual) / total)
        return _moved(level, residual)

    def scale(self, ratio: float, level: float) -> float:
        """Takes in that a whole request took ``ratio`` times what was predicted; returns the endpoint's new level."""
        return _moved(level, self._counted(math.log(ratio)))

    def _counted(self, residual: float) -> float:
        """How far off an observation counts as."""
        widest = min(MOST_CLIP, max(LEAST_CLIP, CLIP_SPREADS * self.accuracy.spread))
        within = min(widest, max(-widest, residual))
        self._usual.update(abs(within))
        self._leaning.update(math.copysign(1.0, residual))
        if self.accuracy.observations < OBSERVATIONS_TO_BE_STEADY:
            return within
        narrow = min(widest, STEADY_CLIP * float(self._usual.get()))
        leaning = (abs(float(self._leaning.get())) - STEADY_LEANING) / (DRIFTING_LEANING - STEADY_LEANING)
        clip = narrow + (widest - narrow) * min(1.0, max(0.0, leaning))
        return min(clip, max(-clip, residual))


def _moved(level: float, residual: float) -> float:
    """The factor of an endpoint, as its logarithm, after one observation."""
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
