"""What the user sees: errors without tracebacks, output for people or for machines, one event loop."""

import asyncio
import json
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import NoReturn, TypeVar

import typer
import uvloop
from rich.console import Console

T = TypeVar("T")

stdout = Console(highlight=False, soft_wrap=True)
stderr = Console(stderr=True, highlight=False, soft_wrap=True)

EXIT_FAILURE = 1
EXIT_USAGE = 2


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
