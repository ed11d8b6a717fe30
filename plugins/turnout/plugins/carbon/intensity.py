"""Carbon intensities by region: a table of the configuration, and a feed that is newer."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType

import msgspec

from turnout.framework import Finding, Reading, WallClock
from turnout.plugins.feeds.feed import Feed, decoded
from turnout.plugins.feeds.source import FeedSource

HIGHEST_INTENSITY = 2000.0
"""Grams per kWh; burning lignite makes some 1,200."""

MAX_REGIONS = 10_000
_LONGEST_REGION = 253

_NONE: Mapping[str, float] = MappingProxyType({})


class _Document(msgspec.Struct):
    """The JSON document of a feed; what else is in it is ignored."""

    regions: dict[str, float]


@dataclass(frozen=True, slots=True)
class IntensityFeed:
    """A document ``{"regions": {"eu-north-1": 25.0}}`` in a file or at a URL, see ``FeedSource``.

    Its values hold until it is older than ``max_age``.

    Raises:
        ValueError: as ``FeedSource``, or ``max_age`` is not above 0.
    """

    file: str = ""
    url: str = ""
    interval: timedelta = timedelta(0)
    timeout: timedelta = timedelta(seconds=5)
    max_bytes: int = 2**20
    max_age: timedelta = timedelta(hours=2)

    def __post_init__(self) -> None:
        _ = self.source
        if self.max_age <= timedelta(0):
            raise ValueError(f"max_age must be above 0, got {self.max_age.total_seconds():g} s")

    @property
    def source(self) -> FeedSource:
        """Where the document is read from."""
        return FeedSource(self.file, self.url, self.interval, self.timeout, self.max_bytes)


class Intensities:
    """What is known of each region: the feed's value while the feed is fresh, else that of the table, if it has one.

    Raises:
        ValueError: an intensity of the table or of the feed's file is none, or the file cannot be read.
    """

    def __init__(self, table: Mapping[str, float] | None, feed: IntensityFeed | None, clock: WallClock) -> None:
        self._table = checked(table or _NONE, "regions")
        self._feed = None if feed is None else Feed(feed.source, parsed, clock, feed.max_age)
        self._seen: Mapping[str, float] | None = None
        self._merged = self._table

    @property
    def is_empty(self) -> bool:
        """Whether there is no source at all."""
        return self._feed is None and not self._table

    def by_region(self, now: float) -> Mapping[str, float]:
        """Grams per kWh; the same object until something changes."""
        newer = None if self._feed is None else self._feed.fresh(now)
        if newer is not self._seen:
            self._seen = newer
            self._merged = self._table if newer is None else MappingProxyType({**self._table, **newer})
        return self._merged

    def findings(self, now: float) -> Sequence[Finding]:
        """What is wrong with the feed."""
        return () if self._feed is None else self._feed.findings(now)

    def age(self, now: float) -> float | None:
        """Seconds since the feed's value was written; None without one."""
        return None if self._feed is None else self._feed.age(now)

    def readings(self) -> Iterable[Reading]:
        """The feed's figures."""
        return () if self._feed is None else self._feed.readings("carbon-intensity")

    async def run(self) -> None:
        """Follows the feed, if there is one, until cancelled."""
        if self._feed is not None:
            await self._feed.run()


def parsed(content: bytes) -> Mapping[str, float]:
    """The intensities of a feed's document.

    Raises:
        ValueError: it is not in the form, or one of its values is no intensity.
    """
    return checked(decoded(content, _Document).regions, "regions")


def checked(intensities: Mapping[str, float], name: str) -> Mapping[str, float]:
    """The same, once every value is one that a grid can have.

    Raises:
        ValueError: there are too many, or one is not.
    """
    if len(intensities) > MAX_REGIONS:
        raise ValueError(f"{name} must have at most {MAX_REGIONS} regions, got {len(intensities)}")
    for region, grams in intensities.items():
        if not 0 < len(region) <= _LONGEST_REGION:
            raise ValueError(f"{name} must have names of 1 to {_LONGEST_REGION} characters, got {region[:80]!r}")
        if not 0.0 <= grams <= HIGHEST_INTENSITY:
            raise ValueError(f"{name}[{region[:80]!r}] must be from 0 to {HIGHEST_INTENSITY:g} g/kWh, got {grams}")
    return MappingProxyType(dict(intensities))
