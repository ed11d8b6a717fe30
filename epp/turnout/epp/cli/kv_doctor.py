"""`turnout kv-doctor`: whether the prefix cache works, and why not."""

import asyncio
from typing import Annotated

import typer

from turnout.epp.admin.reading import PickerNotAskedError
from turnout.epp.cli.screen import (
    EXIT_FAILURE,
    EXIT_USAGE,
    check_watch,
    errors_as_messages,
    print_json,
    run_loop,
    stderr,
    stdout,
)
from turnout.epp.doctor.examination import Examination, examine
from turnout.epp.doctor.pages import fetch_pages
from turnout.epp.doctor.tables import render_examination


def kv_doctor(
    *,
    admin_url: Annotated[str, typer.Option(help="The picker's metrics port.")] = "http://127.0.0.1:9090",
    watch: Annotated[float | None, typer.Option(help="Ask again every so many seconds, until Ctrl-C.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON for each examination.")] = False,
) -> None:
    """Compare the cached tokens that a running picker predicts with those that engines report.

    Prints a table for each prefix producer, over the last five minutes: the requests sent to each endpoint, the
    tokens expected in its cache (and their share of the prompts), what the engine reported with its responses
    against what was expected of the same requests, how many of these agree, and the hit rate by the engine's own
    counters. Below it stands each finding with its likely cause and what to do.

    Exit status: 0 nothing found, 1 findings, 2 a wrong command line or a picker that does not answer.

    Example: turnout kv-doctor --admin-url http://127.0.0.1:9090
    """
    check_watch(watch)
    if watch is not None:
        run_loop(_watch(admin_url, watch, as_json=as_json))
    with errors_as_messages(ValueError, PickerNotAskedError, status=EXIT_USAGE):
        found = run_loop(_once(admin_url, as_json=as_json))
    raise typer.Exit(EXIT_FAILURE if found.count else 0)


async def _once(url: str, *, as_json: bool) -> Examination:
    found = examine(await fetch_pages(url))
    if as_json:
        print_json(found.as_dict())
    else:
        stdout.print(render_examination(found))
    return found


async def _watch(url: str, seconds: float, *, as_json: bool) -> None:
    """A picker that does not answer may be restarting: it is asked again."""
    with errors_as_messages(ValueError, status=EXIT_USAGE):
        while True:
            try:
                await _once(url, as_json=as_json)
            except PickerNotAskedError as error:
                stderr.print(f"turnout: {error}", style="red", markup=False)
            await asyncio.sleep(seconds)
