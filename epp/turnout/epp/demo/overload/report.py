"""The table of the scenario, what stands below it, and the JSON file."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType

from rich.table import Table

from turnout.epp.demo.overload.arms import OVERLOAD, ArmName, Load
from turnout.epp.demo.overload.engines import SERVERS, SLOTS
from turnout.epp.demo.overload.figures import LevelFigures, RunFigures, critical_ratio, goals
from turnout.epp.demo.overload.profiles import Bounds
from turnout.epp.demo.overload.workload import CRITICAL
from turnout.epp.demo.timed.goals import Goal
from turnout.epp.demo.timed.shown import late_clients, milliseconds, runs_table

# Below this share of the modelled rate something else than the simulated engines sets the pace.
LEAST_OF_CAPACITY = 0.9

TITLES: Mapping[ArmName, str] = MappingProxyType(
    {"unloaded": "critical alone", "without": "without flow control", "with": "with flow control"}
)
"""What the runs are called."""


@dataclass(frozen=True, slots=True)
class Report:
    """All runs of one load."""

    load: Load
    promised: Bounds
    runs: Mapping[ArmName, RunFigures]

    @property
    def goals(self) -> Sequence[Goal]:
        """What flow control has to reach."""
        return goals(self.runs["unloaded"], self.runs["with"], self.promised)

    def ratio(self, arm: ArmName) -> float:
        """The critical requests' TTFT p99 in a run, by that without load."""
        return critical_ratio(self.runs["unloaded"], self.runs[arm])


def table(report: Report) -> Table:
    """One line for each level in each run; times in milliseconds. Fits into 80 columns."""
    title = "The same requests without and with flow control; times in ms"
    shown = runs_table(title, _COLUMNS)
    for arm, run in report.runs.items():
        shown.add_section()
        shown.add_row(f"[bold]{TITLES[arm]}[/bold]")
        for level, figures in run.levels.items():
            against = f"{report.ratio(arm):.2f}" if level == CRITICAL and arm != "unloaded" else ""
            shown.add_row(f"  {level}", *_cells(figures), against)
    return shown


_COLUMNS = ("sent", "served", "refused", "TTFT\np50", "TTFT\np99", "longest", "too\nlate", "p99 /\nalone")


def _cells(level: LevelFigures) -> Sequence[str]:
    counts = (level.sent, level.served, sum(level.refused.values()))
    times = (level.ttft_p50, level.ttft_p99, level.longest)
    return (*(f"{count:,}" for count in counts), *map(milliseconds, times), f"{level.outside_bound:,}")


def notes(report: Report) -> Sequence[str]:
    """What the table means, and why requests were refused or failed."""
    return (_capacity(report), _load(report.load), _bound(report.promised), *_not_served(report.runs))


def _capacity(report: Report) -> str:
    without, managed = (report.runs[arm].served_per_second for arm in ("without", "with"))
    how = f"what the servers' engine model serves of this mix with all of its {SERVERS} x {SLOTS} slots full"
    measured = f"measured: {without:.1f} without flow control, {managed:.1f} with it"
    return f"Capacity: {report.load.capacity:.1f} requests/s, {how} ({measured})."


def _load(load: Load) -> str:
    what = f"{len(load.requests):,} requests of seed {load.seed}, the critical ones of them alone in the first run"
    rate = f"{load.rate:.1f} requests/s, {OVERLOAD:g} times the capacity"
    return f"Load: {rate}; {what}. Times count from when a request was due to be sent."


def _bound(promised: Bounds) -> str:
    meaning = "longest is the longest time until one, too late counts those beyond"
    return f"Bound: {promised.queue:g} s in the queue, so an outcome within {promised.text}; {meaning}."


def _not_served(runs: Mapping[ArmName, RunFigures]) -> Sequence[str]:
    whys = ((f"{TITLES[arm]}, {level}", _why(run.levels[level])) for arm, run in runs.items() for level in run.levels)
    return [f"Not served {where}: {why}." for where, why in whys if why]


def _why(level: LevelFigures) -> str:
    reasons = {**level.refused, **level.failed}
    if level.unanswered:
        reasons["never answered"] = level.unanswered
    return ", ".join(f"{count:,} {reason}" for reason, count in sorted(reasons.items()))


def doubts(report: Report) -> Sequence[str]:
    """Signs that the machine was too busy for what was measured to be the gateway's."""
    found = [*late_clients({TITLES[arm]: run.late_p99 for arm, run in report.runs.items()})]
    served, capacity = report.runs["without"].served_per_second, report.load.capacity
    if served < LEAST_OF_CAPACITY * capacity:
        found.append(
            f"The servers served {served:.1f} requests/s without flow control where their engines can serve "
            f"{capacity:.1f}: the machine sets the pace, or the run is too short."
        )
    return found


def as_dict(report: Report) -> dict[str, object]:
    """The report as it stands in the JSON file; times in seconds."""
    load = report.load
    return {
        "scenario": "overload",
        "seed": load.seed,
        "capacity_per_second": load.capacity,
        "requests_per_second": load.rate,
        "bounds_seconds": asdict(report.promised),
        "runs": {arm: _with_null(asdict(run)) for arm, run in report.runs.items()},
        "critical_ratio": {arm: _number(report.ratio(arm)) for arm in report.runs if arm != "unloaded"},
        "goals": [asdict(goal) for goal in report.goals],
    }


def _with_null(value: object) -> object:
    """The value with null in place of what is no number, which JSON cannot express."""
    if isinstance(value, dict):
        return {key: _with_null(each) for key, each in value.items()}
    return _number(value) if isinstance(value, float) else value


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
