"""Readers of option values that typer does not know: Go durations and Kubernetes quantities."""

import typer

from turnout.config.spellings import DURATION_HINT, QUANTITY_HINT, parse_duration, parse_quantity


def seconds(text: str) -> float:
    """A Go duration in seconds; complains on the command line about anything else, and about negative ones."""
    try:
        duration = parse_duration(text).total_seconds()
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} {error}; expected {DURATION_HINT}") from None
    if duration < 0:
        raise typer.BadParameter(f"{text!r} is negative")
    return duration


def size_in_bytes(text: str) -> int:
    """A size above 0 in Kubernetes' spelling or, as Go's flag takes it, with a B at the end."""
    try:
        size = parse_quantity(text.removesuffix("B"))
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} {error}; expected {QUANTITY_HINT}") from None
    if size < 1:
        raise typer.BadParameter(f"{text!r} is less than a byte")
    return size
