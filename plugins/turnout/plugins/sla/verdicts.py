"""Whether one request kept its promise.

What the pool did to a request counts: late tokens, failures, refusals. What the client did counts only if the promise
was broken before: a request that was wrong, or whose client left in time, is not judged.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

from turnout.framework import CLIENT_LEFT, Completion, Refusal, RefusalKind, Termination
from turnout.plugins.sla.targets import Metric

_CLIENTS_FAULTS = frozenset(
    (
        RefusalKind.BAD_REQUEST,
        RefusalKind.UNAUTHORIZED,
        RefusalKind.FORBIDDEN,
        RefusalKind.NOT_FOUND,
        RefusalKind.PRECONDITION_FAILED,
        RefusalKind.TOO_LARGE,
    )
)
_TOO_MANY_REQUESTS = 429
# What an engine says of an API that its model does not have: the client's choice.
_NOT_IMPLEMENTED = 501
# An engine may report any number, and not every whole number is a float.
_MOST_TOKENS = 10**12


class Outcome(StrEnum):
    """``EXCUSED`` requests do not count; those that are ``UNMEASURED`` would, if their figures were there."""

    MET = "met"
    VIOLATED = "violated"
    EXCUSED = "excused"
    UNMEASURED = "unmeasured"


class Reason(StrEnum):
    """How a promise was broken."""

    LATE = "late"
    FAILED = "failed"
    REFUSED = "refused"
    CLIENT_LEFT = "client-left"


@dataclass(frozen=True, slots=True)
class Verdict:
    """``seconds`` is what was measured, if anything; a violation has a reason."""

    outcome: Outcome
    reason: Reason | None = None
    seconds: float | None = None


EXCUSED = Verdict(Outcome.EXCUSED)
UNMEASURED = Verdict(Outcome.UNMEASURED)
FAILED = Verdict(Outcome.VIOLATED, Reason.FAILED)


def of_completion(metric: Metric, completion: Completion, limit: float) -> Verdict:
    """Judges a request that was dispatched; ``limit`` is in seconds."""
    status = completion.status or 0
    if _is_client_s_fault(status):
        return EXCUSED
    if metric == "tpot":
        return _of_tokens(completion, limit)
    if status == _TOO_MANY_REQUESTS or status >= 500:
        return FAILED
    return _of_first_byte(completion, limit) if metric == "ttft" else _of_duration(completion, limit)


def of_refusal(metric: Metric, refusal: Refusal, waited: float, limit: float) -> Verdict:
    """Judges a request that was not dispatched, ``waited`` seconds after it came."""
    # Without tokens there is no time between them.
    if metric == "tpot" or refusal.kind in _CLIENTS_FAULTS:
        return EXCUSED
    if refusal.dropped_reason == CLIENT_LEFT:
        return _left_after(waited, limit)
    return Verdict(Outcome.VIOLATED, Reason.REFUSED)


def _is_client_s_fault(status: int) -> bool:
    return (400 <= status < 500 and status != _TOO_MANY_REQUESTS) or status == _NOT_IMPLEMENTED


def _of_first_byte(completion: Completion, limit: float) -> Verdict:
    # Engines send the head of a stream before its first token: without a body nothing was answered.
    if completion.cause is Termination.NATURAL or completion.response_bytes:
        return _compared(completion.first_byte_seconds, limit)
    return _unanswered(completion, limit)


def _of_duration(completion: Completion, limit: float) -> Verdict:
    if completion.cause is Termination.NATURAL:
        return _compared(completion.duration_seconds, limit)
    return _unanswered(completion, limit)


def _of_tokens(completion: Completion, limit: float) -> Verdict:
    first, duration, usage = completion.first_byte_seconds, completion.duration_seconds, completion.usage
    if first is None or duration is None or usage is None:
        return UNMEASURED if _should_have_tokens(completion) else EXCUSED
    gaps = min(usage.completion_tokens, _MOST_TOKENS) - 1
    return _compared((duration - first) / gaps, limit) if gaps > 0 else EXCUSED


def _should_have_tokens(completion: Completion) -> bool:
    return completion.cause is Termination.NATURAL and (completion.status or 0) < 400


def _unanswered(completion: Completion, limit: float) -> Verdict:
    """A request that ended without what was promised."""
    if completion.cause is not Termination.CLIENT_DISCONNECT:
        return FAILED
    return EXCUSED if completion.duration_seconds is None else _left_after(completion.duration_seconds, limit)


def _left_after(seconds: float, limit: float) -> Verdict:
    return Verdict(Outcome.VIOLATED, Reason.CLIENT_LEFT) if seconds > limit else EXCUSED


def _compared(seconds: float | None, limit: float) -> Verdict:
    if seconds is None or not math.isfinite(seconds):
        return UNMEASURED
    # Two clocks may disagree about the order of two moments that are close.
    seconds = max(0.0, seconds)
    if seconds <= limit:
        return Verdict(Outcome.MET, None, seconds)
    return Verdict(Outcome.VIOLATED, Reason.LATE, seconds)
