"""What became of the requests that one promise is about."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ddsketch import DDSketch

from turnout.framework import CounterReading, GaugeReading, Reading, SlaStatus, SlaWindow
from turnout.plugins.sla.durations import add_duration, new_sketch, quantiles_of
from turnout.plugins.sla.targets import SlaTarget
from turnout.plugins.sla.verdicts import Outcome, Reason, Verdict
from turnout.plugins.sla.windows import SlidingWindow, Tally

LONG_WINDOWS = 12
"""The long window is so many times the short one."""

QUANTILES = (0.5, 0.9)
"""Shown beside the promised one."""


@dataclass(slots=True)
class _Slice:
    tally: Tally = field(default_factory=Tally)
    durations: DDSketch = field(default_factory=new_sketch)


class Ledger:
    """Counts verdicts about one target, in all and over its two windows.

    Two windows, one twelve times as long as the other, tell a budget that is spent too fast and for long from one that
    was, and from a short outage (Google, The Site Reliability Workbook, chapter 5, "Multiwindow, Multi-Burn-Rate
    Alerts"). Memory: 12 sketches of at most 1,408 buckets (at most 550 kB, and 100 kB when durations lie within
    a factor of 100), and 12 pairs of counts.
    """

    def __init__(self, target: SlaTarget) -> None:
        seconds = target.window.total_seconds()
        self.target = target
        self.outcomes = dict.fromkeys(Outcome, 0)
        self._reasons = dict.fromkeys(Reason, 0)
        self._short = SlidingWindow(seconds, _Slice)
        self._long = SlidingWindow(seconds * LONG_WINDOWS, Tally)
        self._quantiles = sorted({*QUANTILES, target.percentile / 100.0})

    def enter(self, verdict: Verdict, now: float) -> None:
        """Counts one verdict."""
        self.outcomes[verdict.outcome] += 1
        if verdict.outcome not in (Outcome.MET, Outcome.VIOLATED):
            return
        here = self._short.current(now)
        for tally in (here.tally, self._long.current(now)):
            tally.judged += 1
            tally.violated += verdict.outcome is Outcome.VIOLATED
        if verdict.seconds is not None:
            add_duration(here.durations, verdict.seconds)
        if verdict.reason is not None:
            self._reasons[verdict.reason] += 1

    def status(self, now: float, load: float) -> SlaStatus:
        """How the promise is kept at this moment, at this load of the pool."""
        slices = self._short.values(now)
        target = self.target
        return SlaStatus(
            target.name,
            target.metric,
            target.percentile,
            target.seconds_at(load),
            self._summed(self._short.seconds, (one.tally for one in slices)),
            self._summed(self._long.seconds, self._long.values(now)),
            target.selects,
            quantiles_of((one.durations for one in slices), self._quantiles),
        )

    def _summed(self, seconds: float, tallies: Iterable[Tally]) -> SlaWindow:
        judged = violated = 0
        for tally in tallies:
            judged += tally.judged
            violated += tally.violated
        if not judged:
            return SlaWindow(seconds, 0, None, 0.0)
        missed = violated / judged
        return SlaWindow(seconds, judged, 1.0 - missed, missed / self.target.budget)

    def readings(self, now: float, load: float) -> Iterator[Reading]:
        """The same for the metrics page, with the totals of all time."""
        labels = {"target": self.target.name}
        yield from _of_status(self.status(now, load))
        for outcome, count in self.outcomes.items():
            what = "Requests that a target is about, by what became of the promise."
            yield CounterReading("sla_requests_total", what, count, {**labels, "outcome": outcome.value})
        for reason, count in self._reasons.items():
            what = "Requests that broke the promise of a target, by how."
            yield CounterReading("sla_violations_total", what, count, {**labels, "reason": reason.value})


def _of_status(status: SlaStatus) -> Iterator[Reading]:
    labels = {"target": status.target}
    if status.short.compliance is not None:
        what = "Share of the requests of the short window that met the target."
        yield GaugeReading("sla_compliance_ratio", what, status.short.compliance, labels)
    for name, window in (("short", status.short), ("long", status.long)):
        what = "How many times faster than promised the error budget is spent."
        yield GaugeReading("sla_burn_rate", what, window.burn_rate, {**labels, "window": name})
    if status.target_seconds is not None:
        yield GaugeReading("sla_target_seconds", "The target as it is at this moment.", status.target_seconds, labels)
    for quantile, seconds in status.observed_seconds.items():
        what = "Quantiles of what was measured in the short window, off by at most 1%."
        yield GaugeReading("sla_observed_seconds", what, seconds, {**labels, "quantile": f"{quantile:g}"})
