"""The table of the scenario, what stands below it, and the JSON file."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from rich.table import Table

from turnout.epp.demo.slo.arms import Load
from turnout.epp.demo.slo.figures import RunFigures, goals
from turnout.epp.demo.slo.servers import SERVERS, SLOTS
from turnout.epp.demo.slo.workload import TARGETS
from turnout.epp.demo.timed.goals import Goal
from turnout.epp.demo.timed.shown import late_clients, milliseconds, runs_table


@dataclass(frozen=True, slots=True)
class Report:
    """All runs of one load."""

    loads: Sequence[Load]
    runs: Mapping[str, RunFigures]

    @property
    def goals(self) -> Sequence[Goal]:
        """What the profiles have to reach."""
        return goals(self.runs)


def table(report: Report) -> Table:
    """One line for each run: the share of requests that met their targets, in all and by target. 80 columns."""
    title = "The same requests by several ways to choose the endpoint; shares of requests in time"
    columns = ("in\ntime", *(f"target\n{target:g} s" for target in TARGETS), "TTFT\np50 ms", "TTFT\np99 ms")
    shown = runs_table(title, (*columns, "not\nserved", "cost\n$"))
    for name, run in report.runs.items():
        strictest = run.targets[min(TARGETS)]
        by_target = (f"{figures.met / max(1, figures.sent):.1%}" for figures in run.targets.values())
        times = (milliseconds(strictest.ttft_p50), milliseconds(strictest.ttft_p99))
        counts = (f"{run.refused + run.failed:,}", f"{run.cost:.4f}")
        shown.add_row(name, f"[bold]{run.attainment:.1%}[/bold]", *by_target, *times, *counts)
    return shown


def notes(report: Report) -> Sequence[str]:
    """What the table means."""
    kinds = ", ".join(
        f"{sum(each is kind for each in SERVERS)} {kind.name} at 1/{kind.time_scale:g} of the speed of an H100 for "
        f"${kind.input_price:.2f} and ${kind.output_price:.2f} per million input and output tokens"
        for kind in dict.fromkeys(SERVERS)
    )
    loads = " and ".join(f"{load.rate:.1f}" for load in report.loads)
    shares = " and ".join(f"{load.share:.0%}" for load in report.loads)
    share = f"{shares} of what the servers' engine model serves of this mix"
    counts = " and ".join(f"{len(load.requests):,}" for load in report.loads)
    meaning = "TTFT is that of the requests with the strictest target, and what was refused or failed counts as late"
    return (
        f"Servers: {kinds}; {SLOTS} slots each.",
        f"Load: {loads} requests/s, {share}; {counts} requests of seed {report.loads[0].seed}.",
        f"Times count from when a request was due to be sent; {meaning}.",
    )


def doubts(report: Report) -> Sequence[str]:
    """Signs that the machine was too busy for what was measured to be the gateway's."""
    return late_clients({name: run.late_p99 for name, run in report.runs.items()})


def as_dict(report: Report) -> Mapping[str, object]:
    """All figures, for the JSON file."""
    return {
        "seed": report.loads[0].seed,
        "capacity": report.loads[0].capacity,
        "rates": [load.rate for load in report.loads],
        "runs": {
            name: {
                **{key: value for key, value in asdict(run).items() if key != "targets"},
                "attainment": run.attainment,
                "targets": {f"{target:g}": asdict(figures) for target, figures in run.targets.items()},
            }
            for name, run in report.runs.items()
        },
        "goals": [asdict(goal) for goal in report.goals],
    }
