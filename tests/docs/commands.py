"""The command line as pages show it: what it accepts, and what it prints."""

import contextlib
import doctest
import io
import logging
import re
import shlex
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from typer.main import get_command

from docs.blocks import ROOT
from turnout.epp.cli.app import app, run
from turnout.epp.cli.foreign_flags import separate
from turnout.epp.cli.go_flags import from_go

PROMPT = "$ "
_EXTRAS = re.compile(r"(?:turnout|\.)\[([a-z,]+)\]\Z")


@dataclass(frozen=True)
class Flag:
    """One option of one command. ``default`` is empty when there is none."""

    command: str
    names: tuple[str, ...]
    default: str
    help: str
    is_switch: bool


def flags() -> list[Flag]:
    """Every option of every command but ``--help``, in order."""
    group = get_command(app)
    return [
        Flag(
            command,
            tuple(option for option in parameter.opts if option.startswith("-")),
            _default(parameter.default),
            str(getattr(parameter, "help", "") or ""),
            bool(getattr(parameter, "is_flag", False)),
        )
        for command, defined in getattr(group, "commands", {}).items()
        for parameter in defined.params
        if parameter.param_type_name == "option" and "--help" not in parameter.opts
    ]


def _default(value: object) -> str:
    if value is None or callable(value):
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True)
class Step:
    """One command of a console block and the output that the page shows."""

    words: tuple[str, ...]
    shown: str


def steps(text: str) -> list[Step]:
    """The commands of a console block."""
    found: list[tuple[str, list[str]]] = []
    for line in text.replace("\\\n", " ").splitlines():
        if line.startswith(PROMPT):
            found.append((line.removeprefix(PROMPT), []))
        else:
            assert found, f"output before the first command: {line}"
            found[-1][1].append(line)
    return [Step(tuple(shlex.split(command)), "".join(f"{line}\n" for line in shown)) for command, shown in found]


def check_known(words: Sequence[str]) -> None:
    """Asserts that the command exists and takes these arguments, without running it."""
    match words:
        case ["turnout", *arguments]:
            _parse(arguments)
        case ["make", "demo", arguments]:
            _parse(["demo", *arguments.removeprefix("ARGS=").split()])
        case ["make", target, *_]:
            assert f"\n{target}:" in (ROOT / "Makefile").read_text(), f"make has no target {target}"
        case ["pip", "install", *wanted]:
            _check_extras(wanted)
        case ["envoy", "--mode", "validate", "-c", file]:
            assert (ROOT / file).is_file(), f"there is no {file}"
        case ["curl", *_] | ["cd", *_]:
            pass
        case _:
            raise AssertionError(f"a command that nobody checks: {shlex.join(words)}")


def _parse(arguments: Sequence[str]) -> None:
    switches = {name.removeprefix("--") for flag in flags() if flag.is_switch for name in flag.names}
    name, *rest = from_go(arguments, switches)
    if name == "epp":
        foreign = separate(rest)
        assert not foreign.refused, foreign.refused
        rest = list(foreign.arguments)
    commands = getattr(get_command(app), "commands", {})
    if "--help" not in rest:
        commands[name].make_context(name, rest)


def _check_extras(wanted: Sequence[str]) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    found = [match for word in wanted if (match := _EXTRAS.match(word))]
    assert found or "-e" in wanted or "." in wanted, f"pip install of something else: {wanted}"
    for match in found:
        assert set(match[1].split(",")) <= set(extras), f"pyproject.toml lacks an extra of {match[0]}"


def check_output(step: Step, status: int) -> None:
    """Asserts that the ``turnout`` command exits with the status and prints what the page shows."""
    output = io.StringIO()
    with _logging_kept(), contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        exited: object = 0
        try:
            run(step.words[1:])
        except SystemExit as end:
            exited = end.code or 0
    assert exited == status, f"{shlex.join(step.words)} ended with status {exited}: {output.getvalue()}"
    if step.shown:
        same = doctest.OutputChecker().check_output(step.shown, output.getvalue(), doctest.ELLIPSIS)
        assert same, f"{shlex.join(step.words)} printed:\n{output.getvalue()}"


@contextlib.contextmanager
def _logging_kept() -> Iterator[None]:
    """Commands set up the logging of their process, which here is the test's."""
    loggers = (logging.getLogger(), logging.getLogger("turnout"))
    levels, handlers = [logger.level for logger in loggers], loggers[0].handlers[:]
    loggers[0].handlers.clear()
    try:
        yield
    finally:
        loggers[0].handlers[:] = handlers
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
