"""Existing command lines are written for Go's flag packages; this turns them into ours.

Go accepts ``--flag=false`` for switches, a single dash before a long name, ``-v 4``, and repeats or commas for
lists. The rest is the same.
"""

from collections.abc import Collection, Iterator, Sequence

# strconv.ParseBool's words.
TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})


def from_go(arguments: Sequence[str], switches: Collection[str]) -> list[str]:
    """The arguments as typer reads them; ``switches`` are the names of boolean flags, without dashes.

    Everything after ``--`` stays as it is. A switch with a value that is no boolean is left for the parser to
    complain about.
    """
    end = arguments.index("--") if "--" in arguments else len(arguments)
    ours = [text for argument in arguments[:end] for text in _translate(argument, switches)]
    return [*ours, *arguments[end:]]


def _translate(argument: str, switches: Collection[str]) -> Iterator[str]:
    name, equals, value = argument.partition("=")
    bare = name.lstrip("-")
    if not name.startswith("-") or len(bare) < 2:
        yield argument
    elif bare in switches and equals and value in FALSE:
        yield f"--no-{bare}"
    elif bare in switches and equals and value in TRUE:
        yield f"--{bare}"
    else:
        yield f"--{bare}{equals}{value}"


def comma_list(values: Sequence[str]) -> tuple[str, ...]:
    """Every value of a flag that may be repeated and may hold several values between commas."""
    return tuple(part.strip() for value in values for part in value.split(",") if part.strip())
