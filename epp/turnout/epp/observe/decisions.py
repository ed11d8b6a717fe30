"""Explained decisions: which requests are explained, and the latest of them."""

import math
import random
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice

import msgspec

from turnout.epp.observe.labels import printable
from turnout.framework import (
    DecisionRecord,
    Endpoint,
    FilterRecord,
    InferenceRequest,
    ProfileRecord,
    ScorerRecord,
    WaitRecord,
)

DEFAULT_CAPACITY = 200
# What a decision costs grows with its candidates: about 0.6 KiB each with four scorers.
MAX_STORED_CANDIDATES = 20_000
MAX_ASKED = 1000
MAX_REASONS = 50


@dataclass(frozen=True, slots=True)
class StoredScorer:
    """A scorer's scores by endpoint name; None is a score that is no finite number. ``weighted`` is raw * weight."""

    scorer: str
    weight: float
    raw: dict[str, float | None]
    weighted: dict[str, float | None]


@dataclass(frozen=True, slots=True)
class StoredProfile:
    """What one profile did.

    ``problem`` is empty or says why it picked nothing. ``runner_up`` is the best of those not picked first and
    ``margin`` the first pick's total minus its total: negative when the picker did not take the best.
    """

    profile: str
    candidates: tuple[str, ...]
    filters: tuple[FilterRecord, ...]
    scorers: tuple[StoredScorer, ...]
    totals: dict[str, float | None]
    picker: str
    picked: tuple[str, ...]
    problem: str = ""
    runner_up: str | None = None
    margin: float | None = None


@dataclass(frozen=True, slots=True)
class StoredEndpoint:
    """What was known of a candidate when the decision was made.

    Queue sizes count requests, ``kv_cache_utilization`` is 0 to 1. ``metrics_age_seconds`` is the age of the
    oldest of these values that the engine reports, None if it reported none.
    """

    waiting_queue_size: int
    running_requests: int
    kv_cache_utilization: float
    in_flight: int
    metrics_age_seconds: float | None


@dataclass(frozen=True, slots=True)
class StoredDecision:
    """One explained decision. ``decided_at`` is in UTC; ``endpoints`` has every candidate by name.

    ``wait`` says how the request waited for its turn; None where requests do not wait. ``reasons`` are the profile
    handler's words about how it decided.
    """

    request_id: str
    model: str
    target_model: str
    decided_at: datetime
    profiles: tuple[StoredProfile, ...]
    endpoints: dict[str, StoredEndpoint]
    wait: WaitRecord | None = None
    reasons: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """The same as JSON types."""
        document: dict[str, object] = msgspec.to_builtins(self)
        return document

    @classmethod
    def from_dict(cls, document: Mapping[str, object]) -> "StoredDecision":
        """What ``as_dict`` wrote.

        Raises:
            ValueError: it did not write this; the message says where.
        """
        return msgspec.convert(document, cls)


class DecisionLog:
    """Says which requests to explain and keeps the latest explanations.

    ``sample_rate`` is the fraction of requests explained unasked, 0 to 1; ``seed`` makes the choice repeatable.
    Memory: at most ``capacity`` decisions with at most 20,000 candidates in all (about 12 MiB with four
    scorers), the latest one always kept. ``wall_clock`` gives seconds since 1970.

    Raises:
        ValueError: capacity below 1 or a rate outside [0, 1].
    """

    def __init__(
        self,
        capacity: int = DEFAULT_CAPACITY,
        sample_rate: float = 0.0,
        seed: int | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, not {capacity}")
        if not 0.0 <= sample_rate <= 1.0:
            raise ValueError(f"sample_rate must be within [0, 1], not {sample_rate}")
        self._capacity = capacity
        self._sample_rate = sample_rate
        self._random = random.Random(seed)
        self._wall_clock = wall_clock
        self._asked = 0
        self._candidates = 0
        self._kept: deque[StoredDecision] = deque()

    def ask(self, count: int = 1) -> None:
        """Has the next ``count`` requests explained, whatever the sample rate; at most 1000 wait at a time."""
        self._asked = min(self._asked + max(count, 0), MAX_ASKED)

    def start(self) -> DecisionRecord | None:
        """A record to fill if the next decision shall be explained, else None."""
        if self._asked:
            self._asked -= 1
            return DecisionRecord()
        if self._sample_rate and self._random.random() < self._sample_rate:
            return DecisionRecord()
        return None

    def add(self, record: DecisionRecord, request: InferenceRequest, endpoints: Sequence[Endpoint], now: float) -> None:
        """Keeps a filled record; ``endpoints`` are the candidates as the cycle saw them at ``now``."""
        decision = StoredDecision(
            printable(request.request_id),
            printable(request.model),
            printable(record.target_model or request.target_model),
            datetime.fromtimestamp(self._wall_clock(), UTC),
            tuple(_profile(profile) for profile in record.profiles),
            {endpoint.name: _endpoint(endpoint, now) for endpoint in endpoints},
            None if record.wait is None else _wait(record.wait),
            tuple(map(printable, record.reasons[:MAX_REASONS])),
        )
        self._kept.append(decision)
        self._candidates += len(decision.endpoints)
        while len(self._kept) > 1 and self._over_bounds():
            self._candidates -= len(self._kept.popleft().endpoints)

    def get(self, request_id: str) -> StoredDecision | None:
        """The latest decision about a request with this id, or None if none is kept."""
        wanted = printable(request_id)
        return next((decision for decision in reversed(self._kept) if decision.request_id == wanted), None)

    def latest(self, count: int) -> list[StoredDecision]:
        """At most ``count`` decisions, the newest first."""
        return list(islice(reversed(self._kept), max(count, 0)))

    def _over_bounds(self) -> bool:
        return len(self._kept) > self._capacity or self._candidates > MAX_STORED_CANDIDATES


def _profile(record: ProfileRecord) -> StoredProfile:
    first = record.picked[0] if record.picked else None
    others = [(total, name) for name, total in record.totals.items() if name != first]
    best = max(others, key=lambda pair: pair[0], default=None)
    runner_up, margin = None, None
    if first is not None and best is not None:
        runner_up, margin = best[1], _finite(record.totals.get(first, math.nan) - best[0])
    return StoredProfile(
        record.profile,
        record.candidates,
        tuple(record.filters),
        tuple(_scorer(scored) for scored in record.scorers),
        {name: _finite(total) for name, total in record.totals.items()},
        record.picker,
        record.picked,
        _problem(record),
        runner_up,
        margin,
    )


def _wait(record: WaitRecord) -> WaitRecord:
    saturation = record.saturation if math.isfinite(record.saturation) else 0.0
    return replace(
        record,
        level=printable(record.level),
        fairness_id=printable(record.fairness_id),
        saturation=saturation,
        reason=printable(record.reason),
    )


def _scorer(record: ScorerRecord) -> StoredScorer:
    raw = {name: _finite(score) for name, score in record.scores.items()}
    weighted = {name: _finite(score * record.weight) for name, score in record.scores.items()}
    return StoredScorer(record.scorer, record.weight, raw, weighted)


def _problem(record: ProfileRecord) -> str:
    if record.picked:
        return ""
    if not record.candidates:
        return "there were no candidates"
    if record.filters and not record.filters[-1].kept:
        return f"filter {record.filters[-1].filter!r} removed every candidate"
    return "a plugin failed before an endpoint was picked"


def _endpoint(endpoint: Endpoint, now: float) -> StoredEndpoint:
    metrics = endpoint.metrics
    names = ("waiting_queue_size", "running_requests", "kv_cache_utilization")
    ages = [metrics.age(name, now) for name in names if name in metrics.observed_at]
    return StoredEndpoint(
        metrics.waiting_queue_size,
        metrics.running_requests,
        metrics.kv_cache_utilization,
        endpoint.in_flight,
        max(ages, default=None),
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
