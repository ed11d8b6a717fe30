"""The overload scenario of `turnout demo`: the runs with their progress bars, and what is shown of them."""

from functools import partial
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from turnout.epp.cli import demo_outcome
from turnout.epp.cli.demo_outcome import Outcome
from turnout.epp.cli.screen import stderr
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
    outcome = Outcome(table(report), notes(report), doubts(report), report.goals, as_dict(report))
    return demo_outcome.show(outcome, json_file)
