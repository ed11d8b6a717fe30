"""Keeps the value of a document that another program updates: the last good one, with its age."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from contextlib import nullcontext
from datetime import timedelta
from typing import Generic, TypeVar

import msgspec

from turnout.framework import CounterReading, Finding, GaugeReading, Reading, WallClock
from turnout.plugins.feeds.places import Document, FilePlace, UnreadableDocumentError, place_of
from turnout.plugins.feeds.source import FeedSource

T = TypeVar("T")
D = TypeVar("D")

FIRST_RETRY_SECONDS = 5.0
"""So long after a failure it is tried again while there has been no value at all, if the interval is longer."""

_LONGEST_PROBLEM = 300


class Feed(Generic[T]):
    """The value of a document, by ``parse``, which is pure and raises ``ValueError`` for a document that is not good.

    A bad, missing or late document changes nothing: the last good value stays, and gets older. Its age counts from
    when its writer wrote it, as the file's time or the ``Last-Modified`` of the answer says, at the latest from when it
    was read. After ``max_age`` it is stale; None is never.

    Documents are parsed in the ``executor``, or among all work of the loop for threads without one.

    A file is read at once. A URL is asked once ``run`` runs, which the owner calls from its own ``run``. The owner
    shows ``findings`` in its diagnosis and ``readings`` among its own.

    Raises:
        ValueError: the file cannot be read or is not good, or ``max_age`` is not above 0.
    """

    def __init__(
        self,
        source: FeedSource,
        parse: Callable[[bytes], T],
        wall_clock: WallClock,
        max_age: timedelta | None = None,
        executor: Executor | None = None,
    ) -> None:
        if max_age is not None and max_age <= timedelta(0):
            raise ValueError(f"max_age must be above 0, got {max_age.total_seconds():g} s")
        self._source = source
        self._parse = parse
        self._clock = wall_clock
        self._max_age = None if max_age is None else max_age.total_seconds()
        self._place = place_of(source)
        self._executor = executor
        self._value: T | None = None
        self._dated = 0.0
        self._problem = ""
        self._failures = 0
        if isinstance(self._place, FilePlace):
            self._begin_with(self._place)

    @property
    def value(self) -> T | None:
        """The last good value, however old; None before there was one. One object until it is replaced."""
        return self._value

    @property
    def problem(self) -> str:
        """What was wrong at the last look; empty if nothing was."""
        return self._problem

    @property
    def place(self) -> str:
        """Where the document is, for people."""
        return self._source.shown

    def age(self, now: float) -> float | None:
        """Seconds since the value was written; None before there was one."""
        return None if self._value is None else max(0.0, self._clock.unix(now) - self._dated)

    def is_stale(self, now: float) -> bool:
        """Whether there is no value, or none that is young enough."""
        age = self.age(now)
        return age is None or (self._max_age is not None and age > self._max_age)

    def fresh(self, now: float) -> T | None:
        """The value, unless it is stale."""
        return None if self.is_stale(now) else self._value

    def findings(self, now: float) -> Sequence[Finding]:
        """What is wrong: ``feed-empty``, ``feed-stale`` or ``feed-failed``, the gravest of them only."""
        age = self.age(now)
        because = f": {self._problem}" if self._problem else ""
        if age is None:
            return [Finding("feed-empty", f"{self.place} has given no value yet{because}")] if because else ()
        if self.is_stale(now):
            what = f"{self.place} was last renewed {age:.0f} s ago, which is more than {self._max_age:.0f} s{because}"
            return [Finding("feed-stale", what)]
        if because:
            return [Finding("feed-failed", f"{self.place} gave nothing; its value of {age:.0f} s ago holds{because}")]
        return ()

    def readings(self, feed: str) -> Iterable[Reading]:
        """When the value was written and how often there was none to be had, by the name of the feed."""
        labels = {"feed": feed}
        written = "When the value of a feed was written, in seconds since 1970; 0 before there was one."
        yield GaugeReading("feed_written_timestamp_seconds", written, self._dated, labels)
        yield CounterReading("feed_failures_total", "Looks at a feed that gave no good value.", self._failures, labels)

    async def run(
        self,
        looked: Callable[[], None] | None = None,
        turns: asyncio.Semaphore | None = None,
        first_pause: float = 1.0,
    ) -> None:
        """Looks again and again, until cancelled; ``looked`` is called after each look.

        Feeds that share ``turns`` look at most so many at a time. The first pause is ``first_pause`` times as long as
        the others, so that feeds that begin together do not go on together.
        """
        share = first_pause
        while True:
            async with turns or nullcontext():
                await self.refresh()
            if looked is not None:
                looked()
            await asyncio.sleep(share * self._pause())
            share = 1.0

    async def refresh(self) -> None:
        """Looks once. What goes wrong is the ``problem``."""
        try:
            document = await self._place.look(self._clock.unix(self._now()))
            if document is not None:
                loop = asyncio.get_running_loop()
                value = await loop.run_in_executor(self._executor, _parsed, self._parse, document.content)
                self._take(value, document, self._clock.unix(self._now()))
        except (UnreadableDocumentError, ValueError) as error:
            self._failed(error)
        else:
            self._problem = ""

    # --- inside ------------------------------------------------------------------------------------------

    def _begin_with(self, place: FilePlace) -> None:
        try:
            document = place.look_now(0.0)
            if document is not None:
                self._take(_parsed(self._parse, document.content), document, None)
        except (UnreadableDocumentError, ValueError) as error:
            raise ValueError(f"{self.place}: {error}") from error
        # Nothing here knows the time of day yet: the first look puts right a date in the future.
        place.forget()

    def _take(self, value: T, document: Document, unix: float | None) -> None:
        dates = [date for date in (document.dated, unix) if date is not None]
        self._value, self._dated = value, max(0.0, min(dates, default=0.0))

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        self._problem = str(error)[:_LONGEST_PROBLEM]
        # What could not be read may be half of what is being written, with the same size and time in the end.
        self._place.forget()

    def _pause(self) -> float:
        interval = self._source.interval_seconds
        return min(interval, FIRST_RETRY_SECONDS) if self._value is None else interval

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def decoded(content: bytes, kind: type[D]) -> D:
    """The JSON document as the type describes it.

    Raises:
        ValueError: it is not JSON, or not of this kind; numbers that JSON does not have, such as NaN, included.
    """
    try:
        return msgspec.json.decode(content, type=kind)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _parsed(parse: Callable[[bytes], T], content: bytes) -> T:
    try:
        return parse(content)
    except ValueError as error:
        raise ValueError(f"has no good content: {error}") from error
