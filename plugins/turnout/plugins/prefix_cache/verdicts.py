"""Says what is wrong when predictions and reports of cached tokens disagree, and what to do about it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from turnout.framework import Finding

SILENT_ZERO_PREDICTED = "silent-zero-predicted"
SILENT_ZERO_REPORTED = "silent-zero-reported"
OVER_PREDICTION = "over-prediction"
UNDER_PREDICTION = "under-prediction"
ENGINE_RESTARTED = "engine-restarted"

NOTABLE_SHARE = 0.1
"""Of the prompt tokens: a smaller difference changes few decisions."""

LASTING_SLICES = 3
"""Slices of the window in which there was something to compare: a burst within one of them does not last."""

DEFAULT_ADVICE: Mapping[str, str] = MappingProxyType(
    {
        SILENT_ZERO_PREDICTED: (
            "Likely: others send to this engine what this picker never saw, the picker restarted a short time ago, or "
            "the shared beginnings are shorter than a block of the picker. Look whether all traffic passes this picker."
        ),
        SILENT_ZERO_REPORTED: (
            "Likely: prefix caching is off (vLLM: --no-enable-prefix-caching), the prompts differ in cache salt or "
            "LoRA adapter, or the engine restarted. Look at the engine's arguments and at its log."
        ),
        OVER_PREDICTION: (
            "Likely: the engine evicts earlier than expected (long answers, a cache smaller than it reports), or equal "
            "prompts arrive at the same time. The picker shrinks what it remembers of the endpoint by itself; if this "
            "stays, look at the engine's cache size."
        ),
        UNDER_PREDICTION: (
            "Likely: others send to this engine, too, the engine keeps more than its cache (offloading), or the picker "
            "restarted a short time ago. The picker remembers more of the endpoint by itself where it forgot too early."
        ),
        ENGINE_RESTARTED: (
            "What was remembered of it was dropped. If this repeats, look at the engine's log for crashes."
        ),
    }
)
"""By cause."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Predicted and actual cached tokens of the same requests.

    ``source`` is ``usage`` of responses, the engine's ``totals``, or ``no lookups`` where those do not grow.
    ``tolerated_tokens`` is how much the predictions may be off without being wrong. ``slices`` is in how many
    slices of the window there was something to compare.
    """

    source: Literal["usage", "totals", "no lookups"]
    requests: int
    prompt_tokens: int
    predicted_tokens: int
    actual_tokens: int
    tolerated_tokens: int
    slices: int


def verdict(name: str, evidence: Evidence, advice: Mapping[str, str], causes: Sequence[str] = ()) -> Finding | None:
    """What the evidence says about the endpoint; ``causes`` that are known already replace the advice."""
    cause = _cause(evidence)
    if cause is None:
        return None
    told = f"Known causes: {', '.join(causes)}; see there." if causes else advice[cause]
    return Finding(cause, f"{_seen(evidence)} {told}", name)


def restarted(name: str, times: int, advice: Mapping[str, str]) -> Finding:
    """The engine behind the endpoint restarted, ``times`` since it is known."""
    often = "its counters fell" if times == 1 else f"its counters fell, {times} times by now"
    return Finding(ENGINE_RESTARTED, f"The engine restarted: {often}. {advice[ENGINE_RESTARTED]}", name)


def _cause(evidence: Evidence) -> str | None:
    surplus = evidence.predicted_tokens - evidence.actual_tokens
    # What is found below a block of the producer is no error of its prediction.
    if abs(surplus) <= evidence.tolerated_tokens or abs(surplus) < NOTABLE_SHARE * evidence.prompt_tokens:
        return None
    if not evidence.predicted_tokens:
        return SILENT_ZERO_PREDICTED
    if not evidence.actual_tokens:
        return SILENT_ZERO_REPORTED
    if evidence.slices < LASTING_SLICES:
        return None
    return OVER_PREDICTION if surplus > 0 else UNDER_PREDICTION


def _seen(evidence: Evidence) -> str:
    prompts = max(1, evidence.prompt_tokens)
    predicted, actual = evidence.predicted_tokens / prompts, evidence.actual_tokens / prompts
    expected = f"{evidence.requests} requests in the last minutes: {predicted:.0%} of the prompt tokens expected in"
    match evidence.source:
        case "usage":
            return f"{expected} the cache, {actual:.0%} reported by the engine."
        case "totals":
            return f"{expected} the cache, {actual:.0%} found by the engine's own totals."
        case "no lookups":
            return f"{expected} the cache, and the engine's totals say that it looked nothing up."
