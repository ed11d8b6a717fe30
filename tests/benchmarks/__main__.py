"""`python -m tests.benchmarks`: measures the budgets, prints them as a table and writes them as JSON."""

import json
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn

from turnout.epp.cli.screen import EXIT_USAGE, errors_as_messages, fail, run_loop, stderr, stdout

from .cycle import one_cycle, pool_sizes
from .figures import BenchmarkError, Figure, Plan, Run
from .latency import added_latency
from .parsing import body_parsing
from .precise import precise_producer
from .predictions import latency_predictions
from .prefix import prefix_producer
from .queueing import queue_depth, queue_throughput
from .report import as_json, table
from .scraping import idle_scraping
from .streams import open_streams
from .throughput import throughput
from .topology import topology_scoring

CASES: Mapping[str, Run] = {
    "cycle": one_cycle,
    "pool-size": pool_sizes,
    "prefix": prefix_producer,
    "precise": precise_producer,
    "predictions": latency_predictions,
    "topology": topology_scoring,
    "parse": body_parsing,
    "latency": added_latency,
    "throughput": throughput,
    "queue": queue_depth,
    "queued": queue_throughput,
    "streams": open_streams,
    "scraping": idle_scraping,
}

WIDTH = 170

app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)


@app.command()
def main(
    *,
    json_file: Annotated[Path, typer.Option("--json", help="Where the figures go.")] = Path("bench.json"),
    only: Annotated[list[str] | None, typer.Option(help=f"Measure this alone: {', '.join(CASES)}. Repeat it.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer repetitions, more noise.")] = False,
) -> None:
    """Measure the budgets of docs/architecture.md. A budget that is missed is shown, and is no failure."""
    unknown = set(only or ()) - set(CASES)
    if unknown:
        fail(f"--only must be one of {', '.join(CASES)}, not {', '.join(sorted(unknown))}", EXIT_USAGE)
    started = time.perf_counter()
    with errors_as_messages(BenchmarkError):
        figures = run_loop(_measure([name for name in CASES if not only or name in only], quick=quick))
    _printer().print(table(figures))
    json_file.write_text(json.dumps(as_json(figures, time.perf_counter() - started, quick=quick), indent=2) + "\n")
    stderr.print(f"{time.perf_counter() - started:.0f} s; figures in {json_file}", markup=False)


def _printer() -> Console:
    # A file or a pipe has no width; the table needs this much to stay on one line a figure.
    return stdout if stdout.is_terminal else Console(width=WIDTH)


async def _measure(names: Sequence[str], *, quick: bool) -> list[Figure]:
    figures: list[Figure] = []
    columns = (TextColumn("{task.description:<12}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    # Without the thread that would redraw it ten times a second, in the middle of what is measured.
    with Progress(*columns, console=stderr, auto_refresh=False) as progress:
        tasks = {name: progress.add_task(name, total=1.0, start=False) for name in names}
        for name, task in tasks.items():
            progress.start_task(task)
            figures += await CASES[name](Plan(quick, partial(_advance, progress, task)))
            progress.update(task, completed=1.0, refresh=True)
    return figures


def _advance(progress: Progress, task: TaskID, fraction: float) -> None:
    progress.update(task, advance=fraction, refresh=True)


if __name__ == "__main__":
    app()
