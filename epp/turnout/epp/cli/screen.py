"""What the user sees: errors without tracebacks, output for people or for machines, one event loop."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn, TypeVar

import typer
import uvloop
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.live import Live

T = TypeVar("T")

stdout = Console(highlight=False, soft_wrap=True)
stderr = Console(stderr=True, highlight=False, soft_wrap=True)

EXIT_FAILURE = 1
EXIT_USAGE = 2

SHORTEST_WATCH, LONGEST_WATCH = 1.0, 3600.0


class Settings:
    """What the options before the command say; set once by the command line."""

    show_tracebacks = False


def print_json(value: object) -> None:
    """One line of JSON on standard output."""
    typer.echo(json.dumps(value))


def fail(message: str, status: int = EXIT_FAILURE) -> NoReturn:
    """Prints the message on standard error and ends the program."""
    stderr.print(f"turnout: {message}", style="red", markup=False)
    raise typer.Exit(status)


def check_watch(seconds: float | None) -> None:
    """Ends the program unless ``--watch`` is left out or within its bounds."""
    if seconds is not None and not SHORTEST_WATCH <= seconds <= LONGEST_WATCH:
        fail(f"--watch must be from {SHORTEST_WATCH:g} to {LONGEST_WATCH:g} seconds, not {seconds:g}", EXIT_USAGE)


@contextmanager
def repainted() -> Iterator[Callable[[RenderableType], None]]:
    """Shows one thing after the other in the same place of the terminal."""
    # Lines that the terminal wraps by itself would be miscounted.
    console = Console(file=stdout.file, force_terminal=True, highlight=False)
    with Live(console=console, auto_refresh=False) as live:
        yield lambda shown: live.update(_Cropped(shown), refresh=True)


@dataclass(frozen=True, slots=True)
class _Cropped:
    """Cuts lines that are longer than the terminal is wide."""

    shown: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from console.render(self.shown, options.update(no_wrap=True, overflow="ellipsis"))


@contextmanager
def errors_as_messages(*expected: type[Exception], status: int = EXIT_FAILURE) -> Iterator[None]:
    """Expected errors become one line on standard error; ``--traceback`` shows where they come from."""
    try:
        yield
    except expected as error:
        if Settings.show_tracebacks:
            raise
        fail(str(error) or type(error).__name__, status)


def run_loop(main: Coroutine[object, object, T]) -> T:
    """Runs the coroutine on uvloop; Ctrl-C ends it quietly with status 130, as a shell expects."""
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(main)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
