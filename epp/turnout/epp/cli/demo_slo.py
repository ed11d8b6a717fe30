"""The scenario of targets of `turnout demo`: the runs with their progress bars, and what is shown of them."""

from functools import partial
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from turnout.epp.cli import demo_outcome
from turnout.epp.cli.demo_outcome import Outcome
from turnout.epp.cli.screen import stderr
from turnout.epp.demo.slo.arms import ARMS, HEAVY, LIGHT, make_load, run_arm
from turnout.epp.demo.slo.figures import RunFigures, summarise
from turnout.epp.demo.slo.report import Report, as_dict, doubts, notes, table


async def compare(seed: int, duration: float) -> Report:
    """Runs the scenario.

    Raises:
        ChildError: a server or the gateway did not start.
    """
    loads = {share: make_load(seed, duration, share) for share in (HEAVY, LIGHT)}
    columns = (TextColumn("{task.description:<16}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    runs: dict[str, RunFigures] = {}
    with Progress(*columns, console=stderr) as progress:
        for name, arm in ARMS.items():
            load = loads[arm.share]
            task = progress.add_task(name, total=len(load.requests))
            outcome = await run_arm(name, load, partial(progress.advance, task))
            runs[name] = summarise(load.requests, outcome)
    return Report(list(loads.values()), runs)


def show(report: Report, json_file: Path | None) -> bool:
    """Prints the table and writes the file; returns whether every goal is reached."""
    outcome = Outcome(table(report), notes(report), doubts(report), report.goals, as_dict(report))
    return demo_outcome.show(outcome, json_file)
