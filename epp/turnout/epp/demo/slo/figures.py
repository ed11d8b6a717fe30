"""The figures of a run by target, and whether the scenario's goals are reached."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from turnout.epp.demo.report import percentile
from turnout.epp.demo.servers import TokenCounts
from turnout.epp.demo.slo.arms import ArmOutcome
from turnout.epp.demo.slo.servers import SERVERS
from turnout.epp.demo.slo.workload import TARGETS, Arrival
from turnout.epp.demo.timed.answers import Answer
from turnout.epp.demo.timed.goals import Goal

MOST_LOST = 0.01
"""How much of the attainment the cheapest run may give up for its price: one point."""


@dataclass(frozen=True, slots=True)
class TargetFigures:
    """The requests with one target. Times are in seconds; ``met`` counts those whose first token came in time.

    What was refused, or failed, or was never answered has missed its target.
    """

    sent: int
    met: int
    ttft_p50: float
    ttft_p99: float


@dataclass(frozen=True, slots=True)
class RunFigures:
    """A run. ``cost`` is in dollars, by the tokens that the servers computed and their prices."""

    targets: Mapping[float, TargetFigures]
    refused: int
    failed: int
    cost: float
    late_p99: float

    @property
    def sent(self) -> int:
        """All requests."""
        return sum(figures.sent for figures in self.targets.values())

    @property
    def attainment(self) -> float:
        """The share of all requests that met their targets."""
        return sum(figures.met for figures in self.targets.values()) / max(1, self.sent)


def summarise(requests: Sequence[Arrival], outcome: ArmOutcome) -> RunFigures:
    """The figures of a run that sent these requests."""
    answers = outcome.seen.answers
    served = [answer for answer in answers if answer.outcome == "served"]
    return RunFigures(
        targets={target: _of_target(target, requests, served) for target in TARGETS},
        refused=sum(answer.outcome == "refused" for answer in answers),
        failed=len(requests) - len(answers) + sum(answer.outcome == "failed" for answer in answers),
        cost=cost(outcome.tokens),
        late_p99=percentile(outcome.seen.late, 0.99),
    )


def cost(tokens: Sequence[TokenCounts]) -> float:
    """What so many tokens of each server cost, in dollars."""
    return sum(
        (counts.prompt * kind.input_price + counts.generated * kind.output_price) / 1e6
        for counts, kind in zip(tokens, SERVERS, strict=True)
    )


def goals(runs: Mapping[str, RunFigures]) -> Sequence[Goal]:
    """What the profiles have to reach."""
    by_slo = runs["slo-first"]
    others = [(name, runs[name]) for name in ("least-request", "default")]
    dear, cheap = runs["slo-first, 60%"], runs["cost-first, 60%"]
    lost = dear.attainment - cheap.attainment
    return (
        *(
            Goal(
                f"slo-first meets more targets than {name}: {by_slo.attainment:.1%} against {run.attainment:.1%}",
                by_slo.attainment > run.attainment,
            )
            for name, run in others
        ),
        Goal(
            f"cost-first costs less than slo-first: ${cheap.cost:.4f} against ${dear.cost:.4f}", cheap.cost < dear.cost
        ),
        Goal(f"cost-first meets at most 1 point less: {lost * 100:.1f} points", lost <= MOST_LOST),
        Goal(f"requests that failed: {sum(run.failed for run in runs.values())} (none)", _none_failed(runs)),
    )


def _none_failed(runs: Mapping[str, RunFigures]) -> bool:
    return not any(run.failed for run in runs.values())


def _of_target(target: float, requests: Sequence[Arrival], served: Sequence[Answer[Arrival]]) -> TargetFigures:
    ttfts = [answer.decided for answer in served if answer.request.target == target]
    return TargetFigures(
        sent=sum(request.target == target for request in requests),
        met=sum(ttft <= target for ttft in ttfts),
        ttft_p50=percentile(ttfts, 0.5),
        ttft_p99=percentile(ttfts, 0.99),
    )
