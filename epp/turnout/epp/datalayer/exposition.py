"""Reads Prometheus text pages, touching only the families asked for.

Theory of operation: an engine's page has some 500 lines of which a scrape needs seven. So the reader does not
parse lines; it searches the page for each wanted name (a substring search at memory speed) and parses only
the lines that begin with it. What else is on the page is not looked at, except its first and last line, which
tell a page from an error document or a file that happens to live at the path.
"""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

_NAME_BYTES = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_:")
_BLANKS = b" \t"
# The first bytes of a sample: a name, then labels or a value.
_SAMPLE_START = re.compile(rb"[a-zA-Z_:][a-zA-Z0-9_:]*(?:[ \t]*\{|[ \t]+[-+.0-9NnIi])")
_LABEL = re.compile(rb'[ \t]*([a-zA-Z_][a-zA-Z0-9_]*)[ \t]*=[ \t]*"((?:[^"\\]|\\.)*+)"[ \t]*(?:,|(?=\}))')
# Value, timestamp, and an OpenMetrics exemplar, which is skipped.
_VALUE = re.compile(rb"[ \t]*([^\s#]+)(?:[ \t]+([^\s#]+))?(?:[ \t]+#.*)?\s*\Z")
_ESCAPE = re.compile(rb'\\([\\n"])')
_LINE_SHOWN = 120


class Sample(NamedTuple):
    """One line of a family. ``timestamp`` is as written: milliseconds in Prometheus text, seconds in OpenMetrics."""

    labels: Mapping[str, str]
    value: float
    timestamp: float | None


def read_samples(page: bytes, families: Iterable[str]) -> dict[str, list[Sample]]:
    """The samples whose name is exactly one of ``families``, by name and in page order; absent ones are empty.

    A name is matched whole: the ``_total``, ``_bucket`` and the like of a family are names of their own.

    Raises:
        ValueError: the page is not an exposition, or a line of a wanted family is malformed (named by number).
    """
    _check_is_exposition(page)
    return {family: _samples(page, family.encode()) for family in families}


def _check_is_exposition(page: bytes) -> None:
    if not page.isascii():
        try:
            page.decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"not an exposition: byte {error.start} is not UTF-8") from None
    for line in _outer_lines(page):
        if not line.startswith(b"#") and not _SAMPLE_START.match(line):
            raise ValueError(f"not an exposition: neither comment nor sample: {_shown(line)}")


def _outer_lines(page: bytes) -> tuple[bytes, ...]:
    """The first and the last line that are not blank."""
    start = len(page) - len(page.lstrip())
    if start == len(page):
        return ()
    first_end = page.find(b"\n", start)
    first = page[start:] if first_end < 0 else page[start:first_end]
    end = len(page.rstrip())
    return first, page[page.rfind(b"\n", 0, end) + 1 : end].lstrip()


def _samples(page: bytes, name: bytes) -> list[Sample]:
    found: list[Sample] = []
    at = page.find(name)
    while at >= 0:
        after = at + len(name)
        if _is_whole_name(page, after) and _begins_line(page, at):
            end = page.find(b"\n", after)
            end = len(page) if end < 0 else end
            found.append(_parse(page, at, after, end))
            after = end
        at = page.find(name, after)
    return found


def _is_whole_name(page: bytes, after: int) -> bool:
    return after == len(page) or page[after] not in _NAME_BYTES


def _begins_line(page: bytes, at: int) -> bool:
    while at and page[at - 1] in _BLANKS:
        at -= 1
    return at == 0 or page[at - 1] == 0x0A


def _parse(page: bytes, at: int, after: int, end: int) -> Sample:
    try:
        return _sample(page[after:end])
    except ValueError as error:
        number = page.count(b"\n", 0, at) + 1
        raise ValueError(f"malformed sample in line {number}: {error}: {_shown(page[at:end])}") from None


def _sample(rest: bytes) -> Sample:
    """Parses what follows the name on a line."""
    labels: dict[str, str] = {}
    at = 0
    unlabelled = rest.lstrip(_BLANKS)
    if unlabelled.startswith(b"{"):
        labels, at = _labels(rest, len(rest) - len(unlabelled) + 1)
    elif unlabelled is rest or len(unlabelled) == len(rest):
        raise ValueError("no blank between name and value")
    match = _VALUE.match(rest, at)
    if match is None:
        raise ValueError("no value, or something after the timestamp")
    return Sample(labels, _number(match[1]), None if match[2] is None else _number(match[2]))


def _labels(rest: bytes, at: int) -> tuple[dict[str, str], int]:
    """The labels that begin after the opening brace, and the place after the closing one."""
    labels: dict[str, str] = {}
    while match := _LABEL.match(rest, at):
        label = match[1].decode()
        if label in labels:
            raise ValueError(f"label {label} given twice")
        labels[label] = _unescaped(match[2])
        at = match.end()
    closing = rest.find(b"}", at)
    if closing < 0 or rest[at:closing].strip(_BLANKS):
        raise ValueError("malformed labels")
    return labels, closing + 1


def _unescaped(value: bytes) -> str:
    if b"\\" in value:
        value = _ESCAPE.sub(lambda match: b"\n" if match[1] == b"n" else match[1], value)
    return value.decode()


def _number(text: bytes) -> float:
    if b"_" in text:  # Python's digit separator is not the format's
        raise ValueError(f"{_shown(text)} is not a number")
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{_shown(text)} is not a number") from None


def _shown(text: bytes) -> str:
    return repr(text[:_LINE_SHOWN].decode(errors="replace"))
