"""The scenario of topology of `turnout demo`: the runs with their progress bars, and what is shown of them."""

from functools import partial
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from turnout.epp.cli import demo_outcome
from turnout.epp.cli.demo_outcome import Outcome
from turnout.epp.cli.screen import stderr
from turnout.epp.demo.topology.arms import ARMS, make_load, run_arm
from turnout.epp.demo.topology.figures import RunFigures, summarise
from turnout.epp.demo.topology.report import Report, as_dict, doubts, notes, table


async def compare(seed: int, duration: float) -> Report:
    """Runs the scenario.

    Raises:
        ChildError: a server or the gateway did not start.
    """
    load = make_load(seed, duration)
    columns = (TextColumn("{task.description:<16}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    runs: dict[str, RunFigures] = {}
    with Progress(*columns, console=stderr) as progress:
        for name in ARMS:
            task = progress.add_task(name, total=len(load.requests))
            outcome = await run_arm(name, load, partial(progress.advance, task))
            runs[name] = summarise(load.requests, outcome)
    return Report(load, runs)


def show(report: Report, json_file: Path | None) -> bool:
    """Prints the table and writes the file; returns whether every goal is reached."""
    outcome = Outcome(table(report), notes(report), doubts(report), report.goals, as_dict(report))
    return demo_outcome.show(outcome, json_file)
