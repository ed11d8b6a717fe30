"""Judges every request by the promises that are about it."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from turnout.framework import (
    SLA_VIOLATION,
    Announce,
    Completion,
    CycleState,
    Diagnosis,
    Endpoint,
    Event,
    Finding,
    InferenceRequest,
    Reading,
    Refusal,
    SlaStatus,
)
from turnout.plugins.sla.ledger import Ledger
from turnout.plugins.sla.targets import SlaTarget
from turnout.plugins.sla.verdicts import Outcome, Verdict, of_completion, of_refusal

MAX_TARGETS = 64


@dataclass(slots=True)
class _Load:
    """How full the pool was when it was last heard of; 0 until then."""

    saturation: float = 0.0
    heard: bool = False


class SlaTracker:
    """Measures how many requests get what was promised, and tells of each one that does not.

    Each of the ``targets`` is judged by itself; one request may be about several. A refused request breaks a promise of
    ``ttft`` or ``e2e``, as does one whose client left after the target had passed; a request that was wrong in itself
    does not count. Token times need responses that pass the Endpoint Picker. The load is the pool's saturation as flow
    control observes it, and 0 without flow control.

    Memory is bounded by the number of targets; see ``Ledger``.

    Raises:
        ValueError: there are no targets, more than 64, or two of one name.
    """

    def __init__(self, targets: Sequence[SlaTarget]) -> None:
        names = [target.name for target in targets]
        if not 1 <= len(names) <= MAX_TARGETS:
            raise ValueError(f"targets must be 1 to {MAX_TARGETS}, got {len(names)}")
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"targets must have names of their own, got {', '.join(twice)} twice")
        self._ledgers = [Ledger(target) for target in targets]
        self._load = _Load()
        self._latest = 0.0
        self._announce: Announce = _to_nobody

    def announce_to(self, announce: Announce) -> None:
        """Tells of violations there."""
        self._announce = announce

    def saturation_observed(self, saturation: float, now: float) -> None:
        """Targets that go with the load have their factor from it."""
        if not math.isnan(saturation):
            self._load.saturation = saturation
            self._load.heard = True

    def response_complete(self, request: InferenceRequest, state: CycleState, completion: Completion) -> None:
        """Judges a request that was dispatched."""
        for ledger, limit in self._about(request):
            verdict = of_completion(ledger.target.metric, completion, limit)
            self._enter(ledger, request, verdict, limit, state.now)

    def request_refused(self, request: InferenceRequest, state: CycleState, refusal: Refusal) -> None:
        """Judges a request that was not dispatched."""
        waited = state.now - request.received_at
        for ledger, limit in self._about(request):
            verdict = of_refusal(ledger.target.metric, refusal, waited, limit)
            self._enter(ledger, request, verdict, limit, state.now)

    def sla_status(self, now: float) -> Sequence[SlaStatus]:
        """All targets in the order of the configuration."""
        return [ledger.status(now, self._load.saturation) for ledger in self._ledgers]

    def readings(self) -> Iterable[Reading]:
        """The figures of every target, as of the last request or diagnosis."""
        for ledger in self._ledgers:
            yield from ledger.readings(self._latest, self._load.saturation)

    def diagnose(self, endpoints: Sequence[Endpoint], now: float) -> Diagnosis:
        """Targets whose budget is spent too fast, and those that cannot be measured."""
        self._latest = max(self._latest, now)
        burning = [_burning(status) for status in self.sla_status(now) if status.is_burning]
        return Diagnosis([*burning, *self._without_figures()])

    def _about(self, request: InferenceRequest) -> Iterable[tuple[Ledger, float]]:
        for ledger in self._ledgers:
            if ledger.target.covers(request):
                limit = ledger.target.seconds_for(request, self._load.saturation)
                if limit is not None:
                    yield ledger, limit

    def _enter(self, ledger: Ledger, request: InferenceRequest, verdict: Verdict, limit: float, now: float) -> None:
        self._latest = max(self._latest, now)
        ledger.enter(verdict, now)
        if verdict.outcome is Outcome.VIOLATED:
            self._announce(_violation(ledger.target.name, request, verdict, limit, now))

    def _without_figures(self) -> Iterable[Finding]:
        for ledger in self._ledgers:
            outcomes, target = ledger.outcomes, ledger.target
            if outcomes[Outcome.UNMEASURED] and not outcomes[Outcome.MET] + outcomes[Outcome.VIOLATED]:
                yield Finding(f"unmeasured:{target.name}", _UNMEASURED.format(target.name, target.metric))
            if target.relax_with_load is not None and not self._load.heard and any(outcomes.values()):
                yield Finding(f"load-unknown:{target.name}", _LOAD_UNKNOWN.format(target.name))


_UNMEASURED = (
    "No request of target {0!r} could be measured: responses do not show their {1}. Token times need responses that "
    "pass the picker with their token counts (turnout up --read-responses)."
)
_LOAD_UNKNOWN = (
    "Target {0!r} goes with the load, which nobody tells: that is flow control, which is off or has had nothing to do."
)


def _to_nobody(event: Event) -> None:
    """Before anybody wants to hear."""


def _burning(status: SlaStatus) -> Finding:
    short, long = status.short, status.long
    told = ", ".join(
        f"{window.burn_rate:.1f} times too fast over {window.seconds:g} s ({window.compliance or 0.0:.2%} of "
        f"{window.requests} requests met it)"
        for window in (short, long)
    )
    promised = f"{status.percentile:g}% of requests with {status.metric} {_within(status.target_seconds)}"
    return Finding(f"burning:{status.target}", f"{promised}: the error budget is spent {told}.")


def _within(seconds: float | None) -> str:
    return "as they ask for" if seconds is None else f"up to {seconds:g} s"


def _violation(target: str, request: InferenceRequest, verdict: Verdict, limit: float, now: float) -> Event:
    return Event(
        SLA_VIOLATION,
        now,
        {
            "target": target,
            "request_id": request.request_id,
            "level": request.level,
            "objective": request.objective,
            "model": request.model,
            "reason": verdict.reason,
            "value_seconds": verdict.seconds,
            "target_seconds": limit,
        },
    )
