"""Lets the program go that got least so far. A program is whoever sends one fairness id."""

from collections.abc import Iterable, Sequence
from typing import Literal

from turnout.framework import (
    PROMPT,
    Completion,
    CycleState,
    FlowHead,
    GaugeReading,
    InferenceRequest,
    Prompt,
    QueuedRequest,
    Reading,
    Usage,
)
from turnout.plugins.fairness.programs import ProgramFigures, Programs

# What an output token costs, next to one of input.
OUTPUT_TOKEN_WEIGHT = 2.0
# More than any context holds: one answer of a broken engine must not weigh for ever.
MAX_TOKENS = 100_000_000


class ProgramAwareFairness:
    """Least attained service (``las``) with regard to waiting: the flow with the highest ``las_weight_service`` *
    (1 - attained service) + ``las_weight_head_wait`` * wait of its head goes next, and of equals the one whose head
    waits longest. Both are scaled to [0, 1] among the flows that have requests, and are 0.5 where all are equal.

    Attained service is the input tokens and twice the output tokens of the program's ended requests, halved in
    ``las_half_life_seconds``. Where the engine does not report usage, the prompt's estimated tokens count as input.
    A program that did nothing for ``eviction_ttl_seconds`` is forgotten, which is looked for every
    ``eviction_sweep_seconds``; at most 10,000 are known.

    Raises:
        ValueError: a weight is negative, a time not positive, or one of them not finite.
    """

    def __init__(
        self,
        strategy: Literal["las"] = "las",
        las_weight_service: float = 0.8,
        las_weight_head_wait: float = 0.2,
        las_half_life_seconds: float = 60.0,
        eviction_ttl_seconds: float = 3600.0,
        eviction_sweep_seconds: float = 300.0,
    ) -> None:
        weights = {"las_weight_service": las_weight_service, "las_weight_head_wait": las_weight_head_wait}
        for parameter, weight in weights.items():
            if not 0.0 <= weight < float("inf"):
                raise ValueError(f"{parameter} must be at least 0 and finite, got {weight}")
        times = {
            "las_half_life_seconds": las_half_life_seconds,
            "eviction_ttl_seconds": eviction_ttl_seconds,
            "eviction_sweep_seconds": eviction_sweep_seconds,
        }
        for parameter, seconds in times.items():
            if not 0.0 < seconds < float("inf"):
                raise ValueError(f"{parameter} must be positive and finite, got {seconds}")
        self._weight_service = las_weight_service
        self._weight_wait = las_weight_head_wait
        self._programs = Programs(las_half_life_seconds, eviction_ttl_seconds, eviction_sweep_seconds)

    def choose(self, flows: Sequence[FlowHead], now: float) -> FlowHead:
        services = _scaled([self._programs.service(flow.fairness_id, now) for flow in flows])
        waits = _scaled([now - flow.head.enqueued_at for flow in flows])
        scores = (
            self._weight_service * (1.0 - service) + self._weight_wait * wait
            for service, wait in zip(services, waits, strict=True)
        )
        score_of = zip(scores, flows, strict=True)
        return max(score_of, key=lambda pair: (pair[0], -pair[1].head.enqueued_at))[1]

    def request_dispatched(self, item: QueuedRequest, priority: int, now: float) -> None:
        """Counts the time in the queue."""
        self._programs.dispatched(item.request.fairness_id, max(0.0, now - item.enqueued_at), now)

    def response_complete(self, request: InferenceRequest, state: CycleState, completion: Completion) -> None:
        """Counts what the program got."""
        usage = completion.usage or Usage(prompt_tokens=state.get(PROMPT, Prompt()).tokens)
        tokens = _counted(usage.prompt_tokens) + OUTPUT_TOKEN_WEIGHT * _counted(usage.completion_tokens)
        self._programs.served(request.fairness_id, tokens, state.now)

    def readings(self) -> Iterable[Reading]:
        """Waits and service of the programs, and how equal their waits are."""
        yield GaugeReading(
            "program_aware_jains_fairness_index",
            "Jain's index of the programs' average waits: 1 if all are equal, near 0 if one of many waits alone.",
            jains_index(self._programs.average_waits()),
        )
        for program_id, figures in self._programs.figures().items():
            yield from _readings_of(program_id, figures)


def jains_index(values: Sequence[float]) -> float:
    """The squared sum of the values, divided by their number and the sum of their squares; 1 without any.

    Source: R. Jain, D. Chiu, W. Hawe, A quantitative measure of fairness and discrimination, 1984.
    """
    largest = max(values, default=0.0)
    if largest <= 0.0:
        return 1.0
    shares = [value / largest for value in values]
    return sum(shares) ** 2 / (len(shares) * sum(share * share for share in shares))


def _readings_of(program_id: str, figures: ProgramFigures) -> Iterable[Reading]:
    labels = {"program_id": program_id}
    if figures.dispatches:
        help_text = "Average time of the program's requests in the queue, in milliseconds."
        wait = figures.average_wait * 1000.0
        yield GaugeReading("program_aware_avg_wait_time_milliseconds", help_text, wait, labels)
    help_text = "Input tokens and twice the output tokens that the program got, halved over and over with time."
    yield GaugeReading("program_aware_attained_service_tokens", help_text, figures.service, labels)


def _scaled(values: Sequence[float]) -> list[float]:
    lowest, highest = min(values), max(values)
    if lowest == highest:
        return [0.5] * len(values)
    return [(value - lowest) / (highest - lowest) for value in values]


def _counted(tokens: int) -> int:
    return min(max(0, tokens), MAX_TOKENS)
