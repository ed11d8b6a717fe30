"""Ranges of hours in time zones, summer time included.

A range is meant as people mean it: by the clock on the wall of its zone. What a change of the clocks skips does not
come that day, what it repeats comes twice.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Literal, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

Day: TypeAlias = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]

_DAYS: Sequence[Day] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])", re.ASCII)
_MIDNIGHT = time(0, 0)
_END_OF_DAY = "24:00"


@dataclass(frozen=True, slots=True)
class CleanHours:
    """From ``from_`` to ``to``, as ``HH:MM`` of the zone, on the ``days`` on which it begins; no day is every day.

    A range that ends before it begins goes over midnight; ``24:00`` is the end of the day.

    Raises:
        ValueError: a time is none, both are the same, or the zone is unknown.
    """

    from_: str
    to: str
    time_zone: str = "UTC"
    days: Sequence[Day] = ()

    def __post_init__(self) -> None:
        begin, end = _time(self.from_, "from_"), None if self.to == _END_OF_DAY else _time(self.to, "to")
        if begin == end:
            raise ValueError(f"to must differ from from_, got {self.to!r}")
        zone_of(self.time_zone)


class Hours:
    """Several ranges; it is a clean hour when it is in any of them."""

    def __init__(self, ranges: Sequence[CleanHours]) -> None:
        self._ranges = [_Range(each) for each in ranges]
        # Of whoever waits each asks, and to look through days of changing clocks takes a tenth of a millisecond.
        self._found: tuple[datetime, datetime] | None = None

    def are_now(self, at: datetime) -> bool:
        """Whether a time, which has its zone, is in a range."""
        return any(each.has(at) for each in self._ranges)

    def next_start(self, at: datetime) -> datetime | None:
        """The next time after it at which a range begins, in UTC; None without ranges. One object until it has come."""
        if not self._ranges:
            return None
        if self._found is None or not self._found[0] <= at < self._found[1]:
            self._found = at, min(each.next_start(at) for each in self._ranges)
        return self._found[1]


class _Range:
    def __init__(self, stated: CleanHours) -> None:
        self._begin = _time(stated.from_, "from_")
        self._end = _MIDNIGHT if stated.to == _END_OF_DAY else _time(stated.to, "to")
        self._zone = zone_of(stated.time_zone)
        self._days = {_DAYS.index(day) for day in stated.days} or set(range(7))

    def has(self, at: datetime) -> bool:
        local = at.astimezone(self._zone)
        clock, today = local.time(), local.weekday()
        if self._begin < self._end:
            return self._begin <= clock < self._end and today in self._days
        began_today = clock >= self._begin and today in self._days
        return began_today or (clock < self._end and (today - 1) % 7 in self._days)

    def next_start(self, at: datetime) -> datetime:
        day = at.astimezone(self._zone).date() - timedelta(days=1)
        days = [day + timedelta(days=ahead) for ahead in range(10)]
        starts = (
            start
            for each in days
            if each.weekday() in self._days
            for start in _instants(datetime.combine(each, self._begin, self._zone))
        )
        return min(start for start in starts if start > at)


def zone_of(name: str) -> ZoneInfo:
    """The zone of this name in the time zone database of the machine.

    Raises:
        ValueError: there is none.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        problem = f"time_zone must be a name of the time zone database, such as Europe/Berlin, got {name[:80]!r}"
        raise ValueError(problem) from error


def _instants(local: datetime) -> Sequence[datetime]:
    """When a clock on the wall comes to show this time or jumps over it, in UTC; twice where it is set back."""
    usual, other = (local.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
    if usual <= other:
        return (usual,) if usual == other else (usual, other)
    # The clock never shows it: between the two it jumps.
    before, after = other, usual
    offset = after.astimezone(local.tzinfo).utcoffset()
    while after - before > timedelta(seconds=1):
        middle = before + (after - before) / 2
        if middle.astimezone(local.tzinfo).utcoffset() == offset:
            after = middle
        else:
            before = middle
    return (after.replace(microsecond=0),)


def _time(text: str, name: str) -> time:
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"{name} must be a time such as 22:30, got {text[:32]!r}")
    return time(int(found[1]), int(found[2]))
