"""What every scenario with goals shows when its runs are over."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from turnout.epp.cli.screen import stdout
from turnout.epp.demo.timed.goals import Goal


@dataclass(frozen=True, slots=True)
class Outcome:
    """A table, what is to be known beside it, signs that its figures are doubtful, goals, and all as a document."""

    table: Table
    notes: Sequence[str]
    doubts: Sequence[str]
    goals: Sequence[Goal]
    document: Mapping[str, object]


def show(outcome: Outcome, json_file: Path | None) -> bool:
    """Prints it and writes the file; returns whether every goal is reached."""
    stdout.print(outcome.table)
    for note in outcome.notes:
        stdout.print(note, markup=False)
    for doubt in outcome.doubts:
        stdout.print(doubt, style="yellow", markup=False)
    for goal in outcome.goals:
        verdict, style = ("reached", "green") if goal.reached else ("MISSED", "bold red")
        stdout.print(f"{verdict}: {goal.text}", style=style, markup=False)
    if json_file is not None:
        json_file.write_text(json.dumps(outcome.document, indent=2) + "\n", encoding="utf-8")
    return all(goal.reached for goal in outcome.goals)
