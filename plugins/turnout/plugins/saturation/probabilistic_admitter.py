"""Sheds requests of low priority, the more of them the fuller the pool is."""

import math
import random
from collections.abc import Sequence
from statistics import fmean

from turnout.framework import CycleState, Endpoint, InferenceRequest, Refusal, RefusalKind
from turnout.plugins.saturation.load import LoadGauge

_REFUSAL = Refusal(
    RefusalKind.RESOURCE_EXHAUSTED,
    "the pool is busy, and the request's priority allows to refuse it",
    "rejected-saturated",
)


class ProbabilisticAdmitter:
    """Refuses requests of a priority below 0 with the probability ``min(1, k * saturation ** power)``.

    Saturation is the mean over the candidates of the larger of waiting queue size / ``queue_depth_threshold`` and
    KV-cache utilization / ``kv_cache_util_threshold``. By default 2 % are refused at 0.15, and all from 0.32 on.
    Without candidates nothing is refused here. ``seed`` fixes which requests are refused.

    Raises:
        ValueError: a threshold, ``power`` or ``k`` is not positive, the latter two not finite, or
            ``kv_cache_util_threshold`` is above 1.
    """

    def __init__(
        self,
        queue_depth_threshold: int = 5,
        kv_cache_util_threshold: float = 0.8,
        power: float = 5.0,
        k: float = 300.0,
        seed: int | None = None,
    ) -> None:
        gauge = LoadGauge(queue_depth_threshold, kv_cache_util_threshold)
        for parameter, value in {"power": power, "k": k}.items():
            if not 0.0 < value < float("inf"):
                raise ValueError(f"{parameter} must be positive and finite, got {value}")
        self._load = gauge.of
        self._power = power
        self._log_k = math.log(k)
        self._random = random.Random(seed)

    def admit(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Refusal | None:
        """A refusal by chance, or None."""
        if request.priority >= 0 or not endpoints:
            return None
        return _REFUSAL if self._random.random() < self._probability(fmean(map(self._load, endpoints))) else None

    def _probability(self, saturation: float) -> float:
        if saturation <= 0.0:
            return 0.0
        # By logarithms, because no parameter and no queue is too large for them.
        return math.exp(min(0.0, self._log_k + self._power * math.log(saturation)))
