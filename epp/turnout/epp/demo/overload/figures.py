"""The figures of a run by level, and whether the scenario's goals are reached."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from turnout.epp.demo.overload.profiles import Bounds
from turnout.epp.demo.overload.workload import CRITICAL, LEVELS, Arrival
from turnout.epp.demo.report import percentile
from turnout.epp.demo.timed.answers import Answer, Answers
from turnout.epp.demo.timed.goals import Goal

MOST_CRITICAL_RATIO = 1.2
"""Critical requests may have this many times their unloaded TTFT at the 99th percentile."""


@dataclass(frozen=True, slots=True)
class LevelFigures:
    """One level in one run. Times are in seconds; those of the first token are NaN where nobody was served.

    ``refused`` and ``failed`` count by reason; every request that was sent is served, refused, failed or
    ``unanswered``. ``longest`` is the longest time until an outcome, and ``outside_bound`` counts the requests that had
    none in time.
    """

    sent: int
    served: int
    refused: Mapping[str, int]
    failed: Mapping[str, int]
    unanswered: int
    ttft_p50: float
    ttft_p99: float
    longest: float
    outside_bound: int

    @property
    def lost(self) -> int:
        """Requests that were neither served nor refused."""
        return sum(self.failed.values()) + self.unanswered


@dataclass(frozen=True, slots=True)
class RunFigures:
    """A run, by level. ``seconds`` is how long it took until the last answer was complete.

    ``served_per_second`` leaves out the first and the last tenth of the answers, when the servers are not full.
    ``late_p99`` is by how many seconds the client was late to send.
    """

    levels: Mapping[str, LevelFigures]
    seconds: float
    served_per_second: float
    late_p99: float


def summarise(requests: Sequence[Arrival], seen: Answers[Arrival], promised: Bounds) -> RunFigures:
    """The figures of a run that sent these requests."""
    sent = Counter(request.level for request in requests)
    levels = {
        level: _level(sent[level], [each for each in seen.answers if each.request.level == level], promised)
        for level in LEVELS
        if sent[level]
    }
    return RunFigures(levels, seen.seconds, _served_per_second(seen.answers), percentile(seen.late, 0.99))


def critical_ratio(unloaded: RunFigures, loaded: RunFigures) -> float:
    """The critical requests' TTFT at the 99th percentile under load, by that without; NaN without such requests."""
    both = [run.levels[CRITICAL].ttft_p99 if CRITICAL in run.levels else float("nan") for run in (unloaded, loaded)]
    return both[1] / both[0]


def goals(unloaded: RunFigures, loaded: RunFigures, promised: Bounds) -> Sequence[Goal]:
    """What flow control has to reach. Critical requests that were not served have no TTFT, so that all have to be."""
    ratio = critical_ratio(unloaded, loaded)
    levels = tuple(loaded.levels.values())
    late = sum(level.outside_bound for level in levels)
    lost = sum(level.lost for level in levels)
    sent = sum(level.sent for level in levels)
    critical = loaded.levels.get(CRITICAL)
    unserved = critical.sent - critical.served if critical else 0
    return (
        Goal(
            f"critical TTFT p99 / unloaded: {ratio:.2f} (at most {MOST_CRITICAL_RATIO:g})", ratio <= MOST_CRITICAL_RATIO
        ),
        Goal(f"critical requests not served: {unserved} (none)", unserved == 0),
        Goal(f"requests without an outcome within {promised.text}: {late} of {sent} (none)", late == 0),
        Goal(f"requests that failed or were never answered: {lost} (none)", lost == 0),
    )


def _level(sent: int, answers: Sequence[Answer[Arrival]], promised: Bounds) -> LevelFigures:
    ttfts = [answer.decided for answer in answers if answer.outcome == "served"]
    return LevelFigures(
        sent=sent,
        served=len(ttfts),
        refused=_by_reason(answers, "refused"),
        failed=_by_reason(answers, "failed"),
        unanswered=sent - len(answers),
        ttft_p50=percentile(ttfts, 0.5),
        ttft_p99=percentile(ttfts, 0.99),
        longest=max((answer.decided for answer in answers), default=0.0),
        outside_bound=sent - sum(_in_time(answer, promised) for answer in answers),
    )


def _by_reason(answers: Sequence[Answer[Arrival]], outcome: str) -> Mapping[str, int]:
    return dict(Counter(answer.reason for answer in answers if answer.outcome == outcome))


def _in_time(answer: Answer[Arrival], promised: Bounds) -> bool:
    if answer.outcome == "failed":
        return False
    return answer.decided <= (promised.first_token if answer.outcome == "served" else promised.refusal)


def _served_per_second(answers: Sequence[Answer[Arrival]]) -> float:
    # From the start of the run, not from each request's own sending.
    ends = sorted(answer.request.at + answer.ended for answer in answers if answer.outcome == "served")
    first, last = len(ends) // 10, len(ends) * 9 // 10
    return (last - first) / (ends[last] - ends[first]) if last > first else 0.0
