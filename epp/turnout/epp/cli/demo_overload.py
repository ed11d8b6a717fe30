"""The overload scenario of `turnout demo`: the runs with their progress bars, and what is shown of them."""

import json
from functools import partial
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from turnout.epp.cli.screen import stderr, stdout
from turnout.epp.demo.overload.arms import ARMS, ArmName, make_load, run_arm
from turnout.epp.demo.overload.figures import RunFigures, summarise
from turnout.epp.demo.overload.profiles import bounds, with_flow_control
from turnout.epp.demo.overload.report import TITLES, Report, as_dict, doubts, notes, table


async def compare(seed: int, duration: float) -> Report:
    """Runs the scenario.

    Raises:
        ChildError: a server or the gateway did not start.
    """
    load, promised = make_load(seed, duration), bounds(with_flow_control())
    columns = (TextColumn("{task.description:<20}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    runs: dict[ArmName, RunFigures] = {}
    with Progress(*columns, console=stderr) as progress:
        for arm in ARMS:
            task = progress.add_task(TITLES[arm], total=len(load.of(arm)))
            seen = await run_arm(arm, load, partial(progress.advance, task))
            runs[arm] = summarise(load.of(arm), seen, promised)
    return Report(load, promised, runs)


def show(report: Report, json_file: Path | None) -> bool:
    """Prints the table and writes the file; returns whether every goal is reached."""
    stdout.print(table(report))
    for note in notes(report):
        stdout.print(note, markup=False)
    for doubt in doubts(report):
        stdout.print(doubt, style="yellow", markup=False)
    for goal in report.goals:
        verdict, style = ("reached", "green") if goal.reached else ("MISSED", "bold red")
        stdout.print(f"{verdict}: {goal.text}", style=style, markup=False)
    if json_file is not None:
        json_file.write_text(json.dumps(as_dict(report), indent=2) + "\n", encoding="utf-8")
    return all(goal.reached for goal in report.goals)
