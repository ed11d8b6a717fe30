"""How good predictions have been: their error, their bias, and how wide they scatter."""

import math

from turnout.plugins.latency.learners import EWMean

FADING = 0.05
"""The weight of the latest of the errors: about the last 40 count."""

SPREAD_AT_FIRST = 0.5
LEAST_SPREAD = 0.02

GOOD_ERROR, USELESS_ERROR = 0.25, 1.0
"""Predictions with a mean error up to the first are fully believed, those with the second not at all."""

Z90 = 1.2815515655446004
"""The 90th percentile of the standard normal distribution."""


class Accuracy:
    """Of the predictions of one time (TTFT or TPOT) of one variant. Errors are relative to what was observed."""

    def __init__(self) -> None:
        self.observations = 0
        self.spread = SPREAD_AT_FIRST
        """Standard deviation of the logarithm of observed over predicted."""
        self.confidence = 1.0
        """How far to believe the predictions, 0 to 1: 1 until something was observed, less with a large mean error."""
        self._error = EWMean(FADING)
        self._bias = EWMean(FADING)
        self._square = EWMean(FADING)
        self._below_median = EWMean(FADING)
        self._below_90th = EWMean(FADING)

    def observe(self, predicted: float, observed: float) -> None:
        """Takes in a prediction and what came of it, both in seconds and positive."""
        residual = math.log(observed / predicted)
        self._below_median.update(float(residual <= 0.0))
        self._below_90th.update(float(residual <= Z90 * self.spread))
        self._error.update(abs(predicted - observed) / observed)
        self._bias.update(residual)
        self._square.update(residual * residual)
        self.observations += 1
        # Asked for with every prediction, and changed only here.
        self.spread = self._estimated_spread()
        self.confidence = min(1.0, max(0.0, (USELESS_ERROR - self.mape) / (USELESS_ERROR - GOOD_ERROR)))

    @property
    def mape(self) -> float:
        """Mean absolute error, as a share of what was observed; 0 without observations."""
        return _mean(self._error)

    @property
    def bias(self) -> float:
        """How much longer it took than predicted, in the mean of the logarithm; 0.1 is ten percent."""
        return math.expm1(_mean(self._bias))

    @property
    def below_median(self) -> float:
        """The share that took at most the predicted time; half of them should."""
        return _mean(self._below_median)

    @property
    def below_90th(self) -> float:
        """The share that took at most the predicted 90th percentile."""
        return _mean(self._below_90th)

    def _estimated_spread(self) -> float:
        # Of few observations the spread is uncertain: a guess counts as five of them.
        guessed = 5.0 / (5.0 + self.observations)
        square = guessed * SPREAD_AT_FIRST**2 + (1.0 - guessed) * _mean(self._square)
        return max(LEAST_SPREAD, math.sqrt(square))


def _mean(mean: EWMean) -> float:
    return float(mean.get() or 0.0)
