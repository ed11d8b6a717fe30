"""Compares what a producer of prefix matches expects engines to have cached with what they report.

Engines report in two ways: the cached tokens of one request, in the usage of its response, and totals of tokens
looked up and found, on their metrics page. The first is exact and is seen only where responses pass; the second is
always there and counts everybody's requests.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import islice
from types import MappingProxyType

from turnout.framework import Completion, CounterReading, Endpoint, Figure, Finding, Reading, Usage
from turnout.plugins.prefix_cache.verdicts import DEFAULT_ADVICE, Evidence, restarted, verdict

WINDOW_SECONDS = 300.0
"""What figures and findings speak of: long enough for a hundred slow requests, short enough to see a repair."""

SLICES = 10

MAX_ENDPOINTS = 4_096
"""Kept at one time, about 5 KB each; those known longest are forgotten first."""

MAX_SHOWN_ENDPOINTS = 500
"""On the metrics page, in two counters each: half of what it takes of one plugin."""

MIN_REQUESTS = 20
"""Fewer requests may be a single conversation, whose next turn says nothing about the cache."""

# Between these, what the engine looked up is what we sent; the estimate of 4 bytes a token may be off by so much.
_OURS_AT_LEAST, _OURS_AT_MOST = 0.5, 2.0

_NOTHING: Mapping[str, Mapping[str, Figure]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Prediction:
    """What is expected of one request at one endpoint, in tokens by the producer's own count.

    The count may be an estimate: reports are compared by their share of the prompt. A report that is off by at
    most ``tolerance_tokens`` agrees.
    """

    cached_tokens: int
    prompt_tokens: int
    tolerance_tokens: int = 0


@dataclass(slots=True)
class Tally:
    """Sums over requests.

    The first four are of all that were sent, by the producer's count; what follows is of the ``compared`` ones,
    whose engine said how much it had cached, by the engine's count.
    ``engine_queries`` and ``engine_hits`` are tokens by the engine's own totals.
    """

    requests: int = 0
    prompt_tokens: int = 0
    predicted_tokens: int = 0
    tolerance_tokens: int = 0
    compared: int = 0
    agreeing: int = 0
    compared_prompt_tokens: int = 0
    compared_predicted_tokens: int = 0
    reported_tokens: int = 0
    compared_tolerance_tokens: int = 0
    engine_queries: float = 0.0
    engine_hits: float = 0.0
    restarts: int = 0

    def add(self, other: "Tally") -> None:
        """Adds every sum of the other one."""
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def since(self, earlier: "Tally") -> "Tally":
        """What was added since the earlier state of this tally."""
        return Tally(*(getattr(self, name) - getattr(earlier, name) for name in _SUMS))

    def copy(self) -> "Tally":
        """The sums as they are now."""
        return self.since(_ZERO)

    @property
    def engine_sees_our_prompts(self) -> bool:
        """Whether the engine looked up about what was sent, so that its totals speak of the same requests."""
        return _OURS_AT_LEAST * self.prompt_tokens <= self.engine_queries <= _OURS_AT_MOST * self.prompt_tokens


_SUMS = tuple(summed.name for summed in fields(Tally))
_ZERO = Tally()


@dataclass(slots=True)
class _Record:
    """One endpoint: sums in all, sums by slice of the window, and where its engine's totals stood."""

    total: Tally = field(default_factory=Tally)
    slices: deque[tuple[int, Tally]] = field(default_factory=deque)
    says_cached_tokens: bool = False
    observed_at: float | None = None
    queries: float = 0.0
    hits: float = 0.0
    restarted_at: float = float("-inf")


class Agreement:
    """Predictions and reports by endpoint name, over the last ``window_seconds`` and in all.

    ``advice`` replaces, by cause, what a finding says of likely reasons and what to do.
    """

    def __init__(
        self, window_seconds: float = WINDOW_SECONDS, advice: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self._slice_seconds = window_seconds / SLICES
        self._advice = {**DEFAULT_ADVICE, **advice}
        self._records: dict[str, _Record] = {}

    def sent(self, name: str, prediction: Prediction, now: float) -> None:
        """A request went to the endpoint."""
        record = self._record(name)
        for tally in (record.total, self._slice(record, now)):
            tally.requests += 1
            tally.prompt_tokens += prediction.prompt_tokens
            tally.predicted_tokens += prediction.cached_tokens
            tally.tolerance_tokens += prediction.tolerance_tokens

    def completed(self, prediction: Prediction | None, completion: Completion, now: float) -> None:
        """A request ended; what its engine says counts if there was a prediction and no fallback answered instead."""
        endpoint, usage = completion.endpoint, completion.usage
        if prediction is None or usage is None or completion.served_by not in (None, endpoint.host_port):
            return
        self.answered(endpoint.name, prediction, usage, now)

    def answered(self, name: str, prediction: Prediction, usage: Usage, now: float) -> None:
        """The endpoint served a request with this usage.

        Engines leave out what is zero: once an endpoint has told cached tokens, usage without them means none.
        Before that it means nothing.
        """
        record = self._record(name)
        record.says_cached_tokens |= usage.cached_tokens is not None
        if not record.says_cached_tokens or usage.prompt_tokens <= 0 or prediction.prompt_tokens <= 0:
            return
        reported = min(max(0, usage.cached_tokens or 0), usage.prompt_tokens)
        scale = usage.prompt_tokens / prediction.prompt_tokens
        predicted = round(prediction.cached_tokens * scale)
        tolerated = round(prediction.tolerance_tokens * scale)
        for tally in (record.total, self._slice(record, now)):
            tally.compared += 1
            tally.agreeing += abs(predicted - reported) <= tolerated
            tally.compared_prompt_tokens += usage.prompt_tokens
            tally.compared_predicted_tokens += predicted
            tally.reported_tokens += reported
            tally.compared_tolerance_tokens += tolerated

    def observe(self, endpoint: Endpoint, now: float) -> bool:
        """Takes the engine's own totals; True if they fell, as they do when an engine restarts."""
        metrics = endpoint.metrics
        observed_at = metrics.observed_at.get("prefix_cache_queries")
        record = self._record(endpoint.name)
        if observed_at is None or observed_at == record.observed_at:
            return False
        first, record.observed_at = record.observed_at is None, observed_at
        queries, hits = metrics.prefix_cache_queries - record.queries, metrics.prefix_cache_hits - record.hits
        record.queries, record.hits = metrics.prefix_cache_queries, metrics.prefix_cache_hits
        if queries < 0 or hits < 0:
            self._restart(record, now)
            return True
        if not first:
            for tally in (record.total, self._slice(record, now)):
                tally.engine_queries += queries
                tally.engine_hits += hits
        return False

    def engine_totals(self, name: str) -> tuple[float, float] | None:
        """Queries and hits as last observed, for ``resume`` of a later process."""
        record = self._records.get(name)
        return (record.queries, record.hits) if record and record.observed_at is not None else None

    def resume(self, name: str, queries: float, hits: float) -> None:
        """Takes totals that an earlier process observed, so that a restart of the engine in between is seen."""
        record = self._record(name)
        if record.observed_at is None:
            record.queries, record.hits = queries, hits

    def forget(self, name: str) -> None:
        """Drops what is known of an endpoint, if anything is."""
        self._records.pop(name, None)

    def total(self, name: str) -> Tally:
        """The sums of an endpoint since it is known; a copy."""
        record = self._records.get(name)
        return record.total.copy() if record else Tally()

    def window(self, name: str, now: float) -> Tally:
        """The sums of an endpoint over the window."""
        record = self._records.get(name)
        return self._summed(record, now) if record else Tally()

    def figures(
        self, now: float, own: Mapping[str, Mapping[str, Figure]] = _NOTHING
    ) -> dict[str, Mapping[str, Figure]]:
        """Flat values by endpoint name: of the window, in all where the name begins with ``total_``; then ``own``."""
        found = {name: _figures(self._summed(record, now), record.total) for name, record in self._records.items()}
        for name, figures in own.items():
            found[name] = {**found.get(name, {}), **figures}
        return {**found}

    def findings(self, now: float, own: Sequence[Finding] = ()) -> list[Finding]:
        """``own``, which the producer knows by itself, then what reports and predictions say about each endpoint.

        A finding about an endpoint that ``own`` has findings of, or that speak of all, names their causes as the
        likely ones.
        """
        return [*own, *(found for name in self._records for found in self._judged(name, now, own))]

    def readings(self) -> Iterable[Reading]:
        """Predicted and reported tokens, of at most 500 endpoints that report any."""
        compared = ((name, record) for name, record in self._records.items() if record.total.compared)
        for name, record in islice(compared, MAX_SHOWN_ENDPOINTS):
            namespace, _, short = name.rpartition("/")
            labels = {"endpoint_name": short, "namespace": namespace}
            yield CounterReading(
                "prefix_predicted_cached_tokens_total",
                "Tokens expected in the cache, of requests whose engine reported its cached tokens.",
                record.total.compared_predicted_tokens,
                labels,
            )
            yield CounterReading(
                "prefix_reported_cached_tokens_total",
                "Tokens that the engine took from its cache, as it reported.",
                record.total.reported_tokens,
                labels,
            )

    def _record(self, name: str) -> _Record:
        record = self._records.get(name)
        if record is None:
            if len(self._records) >= MAX_ENDPOINTS:
                del self._records[next(iter(self._records))]
            record = self._records[name] = _Record()
        return record

    def _slice(self, record: _Record, now: float) -> Tally:
        number, slices = int(now // self._slice_seconds), record.slices
        if not slices or slices[-1][0] < number:
            slices.append((number, Tally()))
            while slices[0][0] <= number - SLICES:
                slices.popleft()
        return slices[-1][1]

    def _restart(self, record: _Record, now: float) -> None:
        record.slices.clear()
        record.restarted_at = now
        for tally in (record.total, self._slice(record, now)):
            tally.restarts += 1

    def _current(self, record: _Record, now: float) -> Iterable[tuple[int, Tally]]:
        oldest = int(now // self._slice_seconds) - SLICES
        return (numbered for numbered in record.slices if numbered[0] > oldest)

    def _summed(self, record: _Record, now: float) -> Tally:
        summed = Tally()
        for _, tally in self._current(record, now):
            summed.add(tally)
        return summed

    def _judged(self, name: str, now: float, own: Sequence[Finding]) -> Iterable[Finding]:
        record = self._records[name]
        if now - record.restarted_at < self._slice_seconds * SLICES:
            yield restarted(name, record.total.restarts, self._advice)
        evidence = self._evidence(record, now)
        if evidence is not None:
            causes = sorted({finding.cause for finding in own if finding.endpoint in ("", name)})
            found = verdict(name, evidence, self._advice, causes)
            if found is not None:
                yield found

    def _evidence(self, record: _Record, now: float) -> Evidence | None:
        """By usage where enough of it was seen, else by the engine's totals where they tell something."""
        window = self._summed(record, now)
        if window.compared >= MIN_REQUESTS:
            return Evidence(
                "usage",
                window.compared,
                window.compared_prompt_tokens,
                window.compared_predicted_tokens,
                window.reported_tokens,
                window.compared_tolerance_tokens,
                sum(1 for _, tally in self._current(record, now) if tally.compared),
            )
        if self._looked_up(record, now) < MIN_REQUESTS:
            return None
        rate = _share(window.engine_hits, window.engine_queries) or 0.0
        if rate and not window.engine_sees_our_prompts:
            return None
        return Evidence(
            "totals" if window.engine_queries else "no lookups",
            window.requests,
            window.prompt_tokens,
            window.predicted_tokens,
            round(rate * window.prompt_tokens),
            window.tolerance_tokens,
            sum(1 for _, tally in self._current(record, now) if tally.requests),
        )

    def _looked_up(self, record: _Record, now: float) -> int:
        """Requests of the window that the last observed totals must know: those sent in a slice before it."""
        last = -1 if record.observed_at is None else int(record.observed_at // self._slice_seconds)
        return sum(tally.requests for number, tally in self._current(record, now) if number < last)


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None


def _figures(window: Tally, total: Tally) -> dict[str, Figure]:
    return {
        "requests": window.requests,
        "predicted_cached_tokens": window.predicted_tokens,
        "predicted_hit_rate": _share(window.predicted_tokens, window.prompt_tokens),
        "compared_requests": window.compared,
        "agreeing_requests": window.agreeing,
        "compared_predicted_tokens": window.compared_predicted_tokens,
        "reported_cached_tokens": window.reported_tokens if window.compared else None,
        "reported_hit_rate": _share(window.reported_tokens, window.compared_prompt_tokens),
        "engine_hit_rate": _share(window.engine_hits, window.engine_queries),
        "total_requests": total.requests,
        "total_compared_requests": total.compared,
        "total_agreeing_requests": total.agreeing,
        "total_predicted_cached_tokens": total.compared_predicted_tokens,
        "total_reported_cached_tokens": total.reported_tokens,
        "total_engine_restarts": total.restarts,
    }
