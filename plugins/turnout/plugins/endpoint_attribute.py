"""Keeps or scores endpoints by one number that is known of each.

Names and rules are the field's. A number that an extractor found has a name and a producer: those of
``core-metrics-extractor`` are ``EndpointMetrics.custom[name]``, those of others ``custom["name/producer"]``.
"""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Literal, TypeAlias

from turnout.framework import CycleState, Endpoint, EndpointMetrics, InferenceRequest, Scores

CORE_PRODUCER = "core-metrics-extractor"

STANDARD: Mapping[str, str] = MappingProxyType(
    {
        "WaitingQueueSize": "waiting_queue_size",
        "RunningRequestsSize": "running_requests",
        "KVCacheUsagePercent": "kv_cache_utilization",
        "MaxActiveModels": "max_active_adapters",
        "CacheBlockSize": "cache_block_size",
        "CacheNumBlocks": "cache_num_blocks",
    }
)
"""The field's names of what ``core-metrics-extractor`` always looks for. The percentage is a fraction, 0 to 1."""

NO_LIMIT = timedelta(0)

# Differences of two such numbers are finite.
_MAX_VALUE = 1e300

Operator: TypeAlias = Literal["LessThan", "LessThanOrEqual", "GreaterThan", "GreaterThanOrEqual", "Equal", "NotEqual"]
_COMPARISONS: Mapping[Operator, Callable[[float, float], bool]] = {
    "LessThan": operator.lt,
    "LessThanOrEqual": operator.le,
    "GreaterThan": operator.gt,
    "GreaterThanOrEqual": operator.ge,
    "Equal": operator.eq,
    "NotEqual": operator.ne,
}


@dataclass(frozen=True, slots=True)
class Threshold:
    """What an endpoint's number is compared with, number first."""

    operator: Operator
    value: float

    def __post_init__(self) -> None:
        _check("value", self.value)


@dataclass(frozen=True, slots=True)
class FilterAlgorithm:
    """How endpoints are told apart."""

    type: Literal["threshold"]
    threshold: Threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedRange:
    """The numbers that are worth 0 and 1; those beyond count as these."""

    min: float = 0.0
    max: float

    def __post_init__(self) -> None:
        _check("min", self.min)
        _check("max", self.max)
        if self.min >= self.max:
            raise ValueError(f"min must be below max, got {self.min} and {self.max}")


@dataclass(frozen=True, slots=True)
class AdaptiveRange:
    """From the least to the largest number among the candidates."""


@dataclass(frozen=True, slots=True)
class Normalization:
    """The range that numbers are seen in; adaptive unless a fixed one is given."""

    fixed_range: FixedRange | None = None
    adaptive_range: AdaptiveRange | None = None

    def __post_init__(self) -> None:
        if self.fixed_range is not None and self.adaptive_range is not None:
            raise ValueError("fixed_range and adaptive_range exclude each other")


ADAPTIVE = Normalization()


@dataclass(frozen=True, slots=True)
class ScorerAlgorithm:
    """Which end of the range is the good one, and the range."""

    type: Literal["linear_lower_is_better", "linear_higher_is_better"]
    normalization: Normalization = ADAPTIVE


class EndpointAttributeFilter:
    """Keeps endpoints whose ``attribute`` compares with a threshold as ``algorithm`` says.

    An endpoint of which it is not known is kept with ``on_missing`` "Pass". If none is left, all are kept with
    ``fallback_on_empty``. ``producer`` None means ``core-metrics-extractor``, an empty one any. A number that was read
    longer than ``max_age`` ago is not known; 0 sets no limit.

    Raises:
        ValueError: the attribute is empty, or a number is out of range.
    """

    def __init__(
        self,
        attribute: str,
        algorithm: FilterAlgorithm,
        producer: str | None = None,
        on_missing: Literal["Pass", "Fail"] = "Pass",
        fallback_on_empty: bool = False,
        max_age: timedelta = NO_LIMIT,
    ) -> None:
        self._attribute = _Attribute("attribute", attribute, producer, max_age)
        self._compare = _COMPARISONS[algorithm.threshold.operator]
        self._threshold = algorithm.threshold.value
        self._keeps_unknown = on_missing == "Pass"
        self._keeps_all_of_none = fallback_on_empty

    def filter(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        kept = [endpoint for endpoint in endpoints if self._keeps(self._attribute.of(endpoint, state.now))]
        return endpoints if self._keeps_all_of_none and not kept else kept

    def _keeps(self, value: float | None) -> bool:
        return self._keeps_unknown if value is None else self._compare(value, self._threshold)


class EndpointAttributeScorer:
    """Scores where an endpoint's ``attribute_key`` is in its range, 0 to 1, or with lower-is-better 1 to 0.

    In a range of the candidates themselves, all score 1 if they have the same number. An endpoint of which it is not
    known scores 0. ``producer`` and ``max_age`` are those of ``endpoint-attribute-filter``.

    Raises:
        ValueError: the attribute is empty, or a number is out of range.
    """

    def __init__(
        self,
        attribute_key: str,
        algorithm: ScorerAlgorithm,
        producer: str | None = None,
        max_age: timedelta = NO_LIMIT,
    ) -> None:
        self._attribute = _Attribute("attribute_key", attribute_key, producer, max_age)
        self._lower_is_better = algorithm.type == "linear_lower_is_better"
        self._range = algorithm.normalization.fixed_range

    def score(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Scores:
        values = [self._attribute.of(endpoint, state.now) for endpoint in endpoints]
        known = [value for value in values if value is not None]
        least, largest = self._bounds(known)
        if least == largest:
            return [0.0 if value is None else 1.0 for value in values]
        good, bad = (least, largest) if self._lower_is_better else (largest, least)
        return [0.0 if value is None else min(1.0, max(0.0, (value - bad) / (good - bad))) for value in values]

    def _bounds(self, known: Sequence[float]) -> tuple[float, float]:
        if self._range is not None:
            return self._range.min, self._range.max
        return min(known, default=0.0), max(known, default=0.0)


class _Attribute:
    """Where a number is found in an endpoint's metrics."""

    def __init__(self, parameter: str, name: str, producer: str | None, max_age: timedelta) -> None:
        if not name:
            raise ValueError(f"{parameter} must not be empty, got {name!r}")
        if producer is None and "/" in name:
            raise ValueError(f"{parameter} must not have a / without a producer beside it, got {name!r}")
        if max_age < NO_LIMIT:
            raise ValueError(f"max_age must be at least 0, got {max_age.total_seconds():g} s")
        is_core = producer is None or producer == CORE_PRODUCER
        self._key = name if is_core or not producer else f"{name}/{producer}"
        self._age_key = f"custom.{self._key}"
        self._field = STANDARD.get(name) if is_core or not producer else None
        self._prefix = f"{name}/" if producer == "" else None
        self._max_age = max_age.total_seconds() or math.inf

    def of(self, endpoint: Endpoint, now: float) -> float | None:
        """The number, or None if it is not known."""
        metrics = endpoint.metrics
        value, seen = metrics.custom.get(self._key), self._age_key
        if value is None:
            value, seen = self._elsewhere(metrics)
        if value is None or not -_MAX_VALUE <= value <= _MAX_VALUE:
            return None
        if self._max_age < math.inf and metrics.age(seen, now) > self._max_age:
            return None
        return value

    def _elsewhere(self, metrics: EndpointMetrics) -> tuple[float | None, str]:
        """The number, if it is no custom metric of its name, and the name under which its age is kept."""
        if self._field is not None and self._field in metrics.observed_at:
            number: float = getattr(metrics, self._field)
            return number, self._field
        if self._prefix is not None:
            for key, value in metrics.custom.items():
                if key.startswith(self._prefix):
                    return value, f"custom.{key}"
        return None, ""


def _check(name: str, value: float) -> None:
    if not -_MAX_VALUE <= value <= _MAX_VALUE:
        raise ValueError(f"{name} must be within -{_MAX_VALUE:g} and {_MAX_VALUE:g}, got {value}")
