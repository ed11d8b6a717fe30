"""`turnout status`: how a running picker is, at a glance."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, NamedTuple

import typer
from rich.text import Text

from turnout.epp.admin.reading import PickerNotAskedError
from turnout.epp.cli.screen import (
    EXIT_FAILURE,
    EXIT_USAGE,
    check_watch,
    errors_as_messages,
    print_json,
    repainted,
    run_loop,
    stderr,
    stdout,
)
from turnout.epp.status.pages import Status, fetch_status
from turnout.epp.status.tables import render_status


def status(
    *,
    admin_url: Annotated[str, typer.Option(help="The picker's metrics port.")] = "http://127.0.0.1:9090",
    watch: Annotated[float | None, typer.Option(help="Ask again every so many seconds, until Ctrl-C.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON each time.")] = False,
) -> None:
    """Show how a running picker is: its endpoints, what waits, the promises that it keeps, and advice about replicas.

    Endpoints: waiting, running and KV cache are the engine's own words, as old as "age" says; "in flight" counts what
    this picker sent there and has not ended. Queue: what flow control holds back, by priority, if it is on. Promises:
    the targets of sla-tracker; "met" is the share of the requests that met theirs, and the burn rate how many times
    faster than promised the error budget is spent, over a short and over a long time. Above 1 in both, a target burns.
    Replicas: what autoscaling-advisor advises.

    Exit status: 0 fine, 1 a target burns or the picker takes no requests, 2 a wrong command line or a picker that does
    not answer.

    Example: turnout status --watch 2
    """
    check_watch(watch)
    if watch is not None:
        run_loop(_watch(admin_url, watch, as_json=as_json))
    with errors_as_messages(ValueError, PickerNotAskedError, status=EXIT_USAGE):
        found = run_loop(fetch_status(admin_url))
    _print(found, as_json=as_json)
    raise typer.Exit(0 if found.is_fine else EXIT_FAILURE)


def _print(found: Status, *, as_json: bool) -> None:
    if as_json:
        print_json(found.as_dict())
    else:
        stdout.print(render_status(found))


async def _watch(url: str, seconds: float, *, as_json: bool) -> None:
    """A picker that does not answer may be restarting: it is asked again."""
    with errors_as_messages(ValueError, status=EXIT_USAGE), _display(as_json=as_json) as display:
        while True:
            try:
                display.show(await fetch_status(url))
            except PickerNotAskedError as error:
                display.complain(f"turnout: {error}")
            await asyncio.sleep(seconds)


class _Display(NamedTuple):
    show: Callable[[Status], None]
    complain: Callable[[str], None]


@contextmanager
def _display(*, as_json: bool) -> Iterator[_Display]:
    aside = _Display(lambda found: _print(found, as_json=as_json), _complain)
    if as_json or not stdout.is_terminal:
        yield aside
        return
    with repainted() as paint:
        yield _Display(lambda found: paint(render_status(found)), lambda text: paint(Text(text, style="red")))


def _complain(text: str) -> None:
    stderr.print(text, style="red", markup=False)
