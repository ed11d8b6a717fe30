"""Problems of a configuration, each with its place; collected, so that a file's reader sees all of them at once."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

Path = tuple[str | int, ...]
"""Where a value stands in the document: keys of mappings and positions in lists, from the root."""

LONGEST_SHOWN = 60
MOST_LISTED = 40


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong at one place.

    ``line`` counts from 1. ``path`` is written as in ``plugins[2].parameters``, or ``document`` for the whole
    of it. ``hint`` says what would be accepted, and may be empty.
    """

    line: int
    path: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.line}: {self.path}: {self.message}" + (f"; {self.hint}" if self.hint else "")


class ConfigError(Exception):
    """A configuration that cannot be used. ``problems`` holds everything that was found, in order of lines.

    ``source`` is the file's name or another word for where the text came from. The text of the error has one
    line for each problem: ``source:line: path: what is wrong; what would be accepted``.
    """

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        self.source = source
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{source}:{problem}" for problem in self.problems))


class Report:
    """Collects problems and warnings of one document, and finds their lines."""

    def __init__(self, lines: Mapping[Path, int]) -> None:
        self._lines = lines
        self._problems: dict[Problem, None] = {}
        self._places: set[Path] = set()
        self._warnings: dict[Problem, None] = {}

    def problem(self, path: Path, message: str, hint: str = "") -> None:
        """Notes something that makes the configuration unusable; said twice, it is kept once."""
        self._problems[self._at(path, message, hint)] = None
        self._places.add(path)

    def warn(self, path: Path, message: str, hint: str = "") -> None:
        """Notes something that the operator should know and that stops nothing."""
        self._warnings[self._at(path, message, hint)] = None

    def has_within(self, path: Path) -> bool:
        """Whether a problem was noted at the path or below it, so that what it lacks may have been left out."""
        return any(place[: len(path)] == path for place in self._places)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Everything noted as a problem, by line."""
        return tuple(sorted(self._problems, key=lambda problem: problem.line))

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """Everything noted as a warning, by line."""
        return tuple(sorted(self._warnings, key=lambda problem: problem.line))

    def _at(self, path: Path, message: str, hint: str) -> Problem:
        known = path
        while known and known not in self._lines:
            known = known[:-1]
        return Problem(self._lines.get(known, 1), path_text(path), message, hint)


def path_text(path: Path) -> str:
    """The path as people write it: ``schedulingProfiles[0].plugins``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{_clip(step)}"
    return text.removeprefix(".") or "document"


def shown(value: object) -> str:
    """The value in quotes, cut when it is long."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a mapping"
    return "a list" if isinstance(value, list) else _clip(repr(value))


def one_of(given: object, accepted: Iterable[str], also: Iterable[str] = ()) -> str:
    """A hint with the accepted names, led by the one that was probably meant, which may be one of ``also``, too."""
    names = sorted(accepted)
    listed = ", ".join(names[:MOST_LISTED]) + (", ..." if len(names) > MOST_LISTED else "")
    wanted = [*names, *sorted(also)]
    close = difflib.get_close_matches(given[:LONGEST_SHOWN], wanted, 1) if isinstance(given, str) else []
    question = f"did you mean {close[0]!r}? " if close else ""
    return question + (f"accepted: {listed}" if listed else "there is none that could be named")


def _clip(text: str) -> str:
    printable = "".join(letter if letter.isprintable() else "?" for letter in text[: LONGEST_SHOWN + 1])
    return printable if len(text) <= LONGEST_SHOWN else printable[:LONGEST_SHOWN] + "..."
