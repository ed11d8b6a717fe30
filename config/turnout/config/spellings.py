"""Foreign spellings, translated once: Go durations and booleans, Kubernetes quantities, camelCase names."""

import math
import re
from collections.abc import Iterable
from datetime import timedelta
from fractions import Fraction

LONGEST = 64
LARGEST = 2**63 - 1  # both Go's int64 nanoseconds and a Kubernetes quantity end here

DURATION_HINT = "a duration in Go syntax, such as 200ms, 30s or 1m30s"
QUANTITY_HINT = "a quantity in Kubernetes syntax, such as 5000, 500M or 1Gi"

_AMOUNT = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_DURATION = re.compile(rf"[+-]?(?:0|(?:{_AMOUNT}(?:ns|us|µs|μs|ms|s|m|h))+)", re.ASCII)
_PART = re.compile(rf"({_AMOUNT})(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_NANOSECONDS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_QUANTITY = re.compile(rf"([+-]?{_AMOUNT})(?:([KMGTPE]i|[numkMGTPE])|[eE]([+-]?[0-9]{{1,2}}))?", re.ASCII)
_SUFFIXES = {
    **{f"{letter}i": Fraction(1024) ** power for power, letter in enumerate("KMGTPE", 1)},
    **{letter: Fraction(1000) ** power for power, letter in enumerate("kMGTPE", 1)},
    "m": Fraction(1, 10**3),
    "u": Fraction(1, 10**6),
    "n": Fraction(1, 10**9),
}
_BOOLEANS = {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}


def parse_duration(text: object) -> timedelta:
    """A Go duration, to the microsecond.

    Raises:
        ValueError: not in that syntax, or beyond 2^63 nanoseconds.
    """
    if not isinstance(text, str) or len(text) > LONGEST or not _DURATION.fullmatch(text):
        raise ValueError("is not a duration")
    total = sum((Fraction(amount) * _NANOSECONDS[unit] for amount, unit in _PART.findall(text)), Fraction(0))
    if total > LARGEST:
        raise ValueError("is longer than a duration can be, 2562047h")
    microseconds = round(total / 1000)
    return timedelta(microseconds=-microseconds if text.startswith("-") else microseconds)


def format_duration(duration: timedelta) -> str:
    """The duration as ``parse_duration`` reads it."""
    microseconds = duration // timedelta(microseconds=1)
    sign, rest = ("-", -microseconds) if microseconds < 0 else ("", microseconds)
    if rest and rest % 1_000:
        return f"{sign}{rest}us"
    if rest and rest % 1_000_000:
        return f"{sign}{rest // 1_000}ms"
    seconds = rest // 1_000_000
    parts = ((seconds // 3600, "h"), (seconds // 60 % 60, "m"), (seconds % 60, "s"))
    return sign + ("".join(f"{amount}{unit}" for amount, unit in parts if amount) or "0s")


def parse_quantity(value: object) -> int:
    """A Kubernetes quantity as a whole number, rounded up as Kubernetes does.

    Raises:
        ValueError: not in that syntax, or beyond 2^63.
    """
    text = str(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else ""
    found = _QUANTITY.fullmatch(text) if len(text) <= LONGEST else None
    if found is None:
        raise ValueError("is not a quantity")
    number, suffix, exponent = found.groups()
    scale = _SUFFIXES[suffix] if suffix else Fraction(10) ** int(exponent or 0)
    amount = math.ceil(Fraction(number) * scale)
    if abs(amount) > LARGEST:
        raise ValueError("is larger than a quantity can be, 2^63 - 1")
    return amount


def parse_bool(text: str) -> bool:
    """A boolean as feature gates spell it.

    Raises:
        ValueError: another word.
    """
    word = text.strip().lower()
    if word not in _BOOLEANS:
        raise ValueError(f"{text[:LONGEST]!r} is not a boolean")
    return _BOOLEANS[word]


def as_spelled(text: str, names: Iterable[str]) -> str:
    """A sentence in which these ``snake_case`` names are written as YAML spells them."""
    for name in names:
        text = re.sub(rf"\b{re.escape(name)}\b", camel_case(name), text) if "_" in name else text
    return text


def camel_case(snake: str) -> str:
    """``max_num_of_endpoints`` as ``maxNumOfEndpoints``."""
    first, *rest = snake.strip("_").split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)
