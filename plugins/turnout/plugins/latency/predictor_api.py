"""The HTTP API of llm-d's latency predictor: what its servers are asked and told, and what they answer.

Facts of the format: a prediction server takes up to 10,000 rows of features at ``/predict/bulk/strict`` and answers
with as many predictions in milliseconds, each a quantile (0.9 by default) or a mean, as it says. A training server
takes rows with what was observed at ``/add_training_data_bulk``; a time of 0 is one that was not observed.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist
from typing import NamedTuple

import msgspec

PREDICT_PATH = "/predict/bulk/strict"
TRAIN_PATH = "/add_training_data_bulk"
MAX_ROWS = 10_000

_MILLISECONDS = 1e3
_STANDARD = NormalDist()


class Features(msgspec.Struct, frozen=True):
    """What a server predicts from. Both shares are within [0, 1], and no number is negative."""

    kv_cache_percentage: float
    input_token_length: int
    num_request_waiting: int
    num_request_running: int
    prefix_cache_score: float
    pod_type: str = ""
    prefill_tokens_in_flight: int = 0
    decode_tokens_in_flight: int = 0
    num_tokens_generated: int = 1


class Sample(Features, frozen=True, kw_only=True):
    """What came of it; 0 is a time that was not observed."""

    actual_ttft_ms: float = 0.0
    actual_tpot_ms: float = 0.0


class Stated(NamedTuple):
    """One prediction as a server states it, in seconds: this quantile of the times, or their mean if it is None."""

    ttft_seconds: float
    tpot_seconds: float
    quantile: float | None


class _Prediction(msgspec.Struct):
    ttft_ms: float
    tpot_ms: float
    objective_type: str = "quantile"
    quantile: float = 0.5


class _Answer(msgspec.Struct):
    predictions: list[_Prediction]


_read_answer = msgspec.json.Decoder(_Answer).decode


def question(rows: Sequence[Features]) -> bytes:
    """The body that asks for a prediction of each row."""
    return msgspec.json.encode({"requests": rows})


def lesson(samples: Sequence[Sample]) -> bytes:
    """The body that tells what was observed."""
    return msgspec.json.encode({"entries": samples})


def answered(content: bytes, count: int) -> list[Stated]:
    """The predictions of an answer to so many rows, in their order.

    Raises:
        ValueError: it is no such answer, has another number of predictions, or one of them is none.
    """
    try:
        predictions = _read_answer(content).predictions
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"its answer is none: {error}") from None
    if len(predictions) != count:
        raise ValueError(f"it predicted {len(predictions)} times for {count} endpoints")
    return [_stated(prediction) for prediction in predictions]


def _stated(prediction: _Prediction) -> Stated:
    for name, value in (("ttft_ms", prediction.ttft_ms), ("tpot_ms", prediction.tpot_ms)):
        if not 0.0 <= value < math.inf:
            raise ValueError(f"it predicted {name} {value}")
    is_mean = prediction.objective_type == "mean"
    if not is_mean and not 0.0 < prediction.quantile < 1.0:
        raise ValueError(f"it predicted the quantile {prediction.quantile}")
    ttft, tpot = prediction.ttft_ms / _MILLISECONDS, prediction.tpot_ms / _MILLISECONDS
    return Stated(ttft, tpot, None if is_mean else prediction.quantile)


def sample(features: Features, *, ttft_seconds: float = 0.0, tpot_seconds: float = 0.0) -> Sample:
    """What came of a request with these features."""
    ttft, tpot = ttft_seconds * _MILLISECONDS, tpot_seconds * _MILLISECONDS
    return Sample(**msgspec.structs.asdict(features), actual_ttft_ms=ttft, actual_tpot_ms=tpot)


@lru_cache(maxsize=64)
def median_share(quantile: float | None, spread: float) -> float:
    """What part of the stated time the median is, if times are log-normal with this spread."""
    if quantile is None:
        return math.exp(-spread * spread / 2.0)
    return math.exp(-_STANDARD.inv_cdf(quantile) * spread)
