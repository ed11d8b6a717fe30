"""The table of the scenario, what stands below it, and the JSON file."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from rich.box import SIMPLE_HEAD
from rich.table import Table

from turnout.epp.demo.slo.arms import Load
from turnout.epp.demo.slo.figures import RunFigures, goals
from turnout.epp.demo.slo.servers import SERVERS, SLOTS
from turnout.epp.demo.slo.workload import TARGETS
from turnout.epp.demo.timed.goals import Goal

# On an idle machine with two cores it is 2 to 5 ms. Whatever delays the client delays Envoy and the picker alike.
MOST_LATE_SECONDS = 0.01


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
    shown = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=0, collapse_padding=True, pad_edge=False)
    shown.add_column("", no_wrap=True)
    columns = ("in\ntime", *(f"target\n{target:g} s" for target in TARGETS), "TTFT\np50 ms", "TTFT\np99 ms")
    for column in (*columns, "not\nserved", "cost\n$"):
        shown.add_column(column, justify="right", no_wrap=True)
    for name, run in report.runs.items():
        strictest = run.targets[min(TARGETS)]
        by_target = (f"{figures.met / max(1, figures.sent):.1%}" for figures in run.targets.values())
        times = (_milliseconds(strictest.ttft_p50), _milliseconds(strictest.ttft_p99))
        counts = (f"{run.refused + run.failed:,}", f"{run.cost:.4f}")
        shown.add_row(name, f"[bold]{run.attainment:.1%}[/bold]", *by_target, *times, *counts)
    return shown


def _milliseconds(seconds: float) -> str:
    return "" if math.isnan(seconds) else f"{seconds * 1000:,.0f}"


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
    late = {name: run.late_p99 for name, run in report.runs.items() if run.late_p99 > MOST_LATE_SECONDS}
    return [
        f"The client of {name} was {seconds * 1000:.0f} ms late to send: the machine is busy, times are too long."
        for name, seconds in late.items()
    ]


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
