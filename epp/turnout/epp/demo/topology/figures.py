"""The figures of a run, and whether the scenario's goals are reached."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from turnout.epp.demo.report import percentile
from turnout.epp.demo.timed.goals import Goal
from turnout.epp.demo.topology.arms import AWARE, BLIND, ArmOutcome
from turnout.epp.demo.topology.transfers import Transfers
from turnout.epp.demo.topology.workload import Arrival

MOST_OF_BLIND = 0.5
"""Which part of the transfer time of topology-blind picks those that know the topology may take."""

RESAMPLES = 400


@dataclass(frozen=True, slots=True)
class RunFigures:
    """A run. ``ttfts`` has the seconds to the first token of each request that was served, by its number."""

    sent: int
    refused: int
    failed: int
    transfers: Transfers
    ttfts: Mapping[int, float]
    late_p99: float

    @property
    def transfer_seconds(self) -> float:
        """The time of transfers for each request that was sent."""
        return self.transfers.seconds / max(1, self.sent)

    def ttft(self, share: float) -> float:
        """A percentile of the seconds to the first token; NaN if nothing was served."""
        return percentile(list(self.ttfts.values()), share)


def summarise(requests: Sequence[Arrival], outcome: ArmOutcome) -> RunFigures:
    """The figures of a run that sent these requests."""
    answers = outcome.seen.answers
    return RunFigures(
        sent=len(requests),
        refused=sum(answer.outcome == "refused" for answer in answers),
        failed=len(requests) - len(answers) + sum(answer.outcome == "failed" for answer in answers),
        transfers=outcome.transfers,
        ttfts={answer.request.number: answer.decided for answer in answers if answer.outcome == "served"},
        late_p99=percentile(outcome.seen.late, 0.99),
    )


def goals(runs: Mapping[str, RunFigures]) -> Sequence[Goal]:
    """What picks that know the topology have to reach; the same requests came at the same times in both runs."""
    blind, aware = runs[BLIND], runs[AWARE]
    shorter, longer = aware.transfer_seconds, blind.transfer_seconds
    unserved = sum(run.failed + run.refused for run in runs.values())
    lost = sum(run.transfers.failed for run in runs.values())
    return (
        Goal(
            f"KV transfer time per request at most half of the blind picks': {shorter * 1000:.1f} ms against "
            f"{longer * 1000:.1f} ms",
            shorter <= MOST_OF_BLIND * longer and aware.transfers.count > 0,
        ),
        Goal(
            f"TTFT p90 not above the blind picks': {aware.ttft(0.9) * 1000:,.0f} ms against "
            f"{blind.ttft(0.9) * 1000:,.0f} ms",
            aware.ttft(0.9) <= blind.ttft(0.9),
        ),
        Goal(f"requests that were not served: {unserved}, transfers that failed: {lost} (none)", not unserved + lost),
    )


def p90_gain(blind: RunFigures, aware: RunFigures) -> tuple[float, float, float]:
    """How many seconds less TTFT p90 the second run has, and between what 95% of resampled sets of requests lie.

    A request is drawn with both of its times (a paired bootstrap), so that what differs between requests does not count
    as what differs between runs. How runs of the same kind differ from each other it cannot tell; other seeds do.
    """
    both = [number for number in blind.ttfts if number in aware.ttfts]
    pairs = [(blind.ttfts[number], aware.ttfts[number]) for number in both]
    draw = random.Random("resampled requests")
    gains = sorted(_gain(draw.choices(pairs, k=len(pairs))) for _ in range(RESAMPLES)) if len(pairs) > 1 else []
    if not gains:
        return (float("nan"),) * 3
    return _gain(pairs), gains[round(0.025 * RESAMPLES)], gains[round(0.975 * RESAMPLES) - 1]


def _gain(pairs: Sequence[tuple[float, float]]) -> float:
    return percentile([before for before, _ in pairs], 0.9) - percentile([after for _, after in pairs], 0.9)
