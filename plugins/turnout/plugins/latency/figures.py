"""What was predicted, and how good it was, for the metrics page."""

from collections.abc import Iterable, Mapping

from turnout.framework import CounterReading, GaugeReading, Histogram, HistogramReading, InferenceRequest, Reading
from turnout.plugins.latency.accuracy import Accuracy
from turnout.plugins.latency.keys import LatencyPrediction
from turnout.plugins.latency.variant import Variant

MAX_MODELS = 100
OTHER = "other"

# The buckets of the field's metrics of these names.
TTFT_BOUNDS = (
    *(0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60, 120),
    *(180, 240, 300, 360, 480, 600, 900, 1200, 1800, 2700, 3600),
)
TPOT_BOUNDS = (
    *(0.0005, 0.00205, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.125, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1, 1.5, 2),
    *(3, 4.5, 6, 12, 18, 24, 30, 36, 48, 60, 90, 120, 180, 270, 360),
)


class _OfModel:
    def __init__(self) -> None:
        self.ttft = Histogram(TTFT_BOUNDS)
        self.tpot = Histogram(TPOT_BOUNDS)
        self.violations = {"ttft": 0, "tpot": 0}


class LatencyFigures:
    """Counts by model, of which at most 100 are told apart."""

    def __init__(self) -> None:
        self._models: dict[tuple[str, str], _OfModel] = {}

    def predicted(self, request: InferenceRequest, prediction: LatencyPrediction) -> None:
        """Of the endpoint that the request goes to."""
        model = self._of(request)
        model.ttft.observe(prediction.ttft_seconds)
        model.tpot.observe(prediction.tpot_seconds)

    def violated(self, request: InferenceRequest, kind: str) -> None:
        """A target, ``ttft`` or ``tpot``, was missed."""
        self._of(request).violations[kind] += 1

    def _of(self, request: InferenceRequest) -> _OfModel:
        names = (request.model, request.target_model)
        found = self._models.get(names)
        if found is None:
            names = names if len(self._models) < MAX_MODELS else (OTHER, OTHER)
            found = self._models.setdefault(names, _OfModel())
        return found

    def readings(self) -> Iterable[Reading]:
        """The field's metrics of these names."""
        for (model, target), figures in self._models.items():
            labels = {"model_name": model, "target_model_name": target}
            yield HistogramReading("request_predicted_ttft_seconds", "Predicted TTFT.", figures.ttft, labels)
            yield HistogramReading("request_predicted_tpot_seconds", "Predicted TPOT.", figures.tpot, labels)
            for kind, count in figures.violations.items():
                text = "Requests that missed their target."
                yield CounterReading("request_slo_violation_total", text, count, {**labels, "type": kind})


def variant_readings(variants: Iterable[Variant]) -> Iterable[Reading]:
    """How good the predictions of each variant were lately, and what was learnt of it."""
    for variant in variants:
        for kind, learnt in (("ttft", variant.ttft), ("tpot", variant.tpot)):
            labels = {"variant": variant.name, "type": kind}
            yield from _of_accuracy(learnt.accuracy, labels)
            for part, factor in zip(learnt.parts, learnt.factors.values, strict=True):
                text = "How many times longer than by the prior a part of a latency takes."
                yield GaugeReading("latency_prediction_factor", text, factor, {**labels, "part": part})


def _of_accuracy(accuracy: Accuracy, labels: Mapping[str, str]) -> Iterable[Reading]:
    total, text = "latency_prediction_observations_total", "Predictions whose outcome was observed."
    yield CounterReading(total, text, accuracy.observations, labels)
    for name, text, value in (
        ("latency_prediction_error_ratio", "Mean absolute error of predictions (MAPE) of late.", accuracy.mape),
        ("latency_prediction_bias_ratio", "How much longer it took than predicted, of late.", accuracy.bias),
        ("latency_prediction_spread", "Standard deviation of the logarithm of observed by predicted.", accuracy.spread),
        ("latency_prediction_confidence", "How far predictions are believed, 0 to 1.", accuracy.confidence),
    ):
        yield GaugeReading(name, text, value, labels)
    text = "Share of the outcomes of late that were at most a predicted quantile."
    for quantile, share in (("0.5", accuracy.below_median), ("0.9", accuracy.below_90th)):
        yield GaugeReading("latency_prediction_calibration_ratio", text, share, {**labels, "quantile": quantile})
