"""Lets requests that are not urgent wait until electricity is clean."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Literal

from turnout.framework import (
    CounterReading,
    Deferral,
    Diagnosis,
    Endpoint,
    Finding,
    InferenceRequest,
    QueuedRequest,
    Reading,
    WallClock,
)
from turnout.plugins.carbon.hours import CleanHours, Hours
from turnout.plugins.carbon.intensity import HIGHEST_INTENSITY, Intensities, IntensityFeed
from turnout.plugins.carbon.producer import REGION_LABEL

DEFERRABLE_HEADER = "x-turnout-deferrable"

LONGEST_WAIT = timedelta(hours=24)

LOOK_AGAIN_SECONDS = 300.0
"""The machine's time may be set meanwhile."""
INTENSITY_SECONDS = 15.0

# Longer than it takes from the arrival to the first question.
_NEW_SECONDS = 1.0
_YES = frozenset(("1", "true", "yes"))

Reason = Literal["clean-hour", "clean-region", "deadline"]


class CleanHoursPolicy:
    """Defers requests until a clean hour, or until some region of the pool is clean.

    It is clean in each of ``hours``, and while the intensity of some endpoint's region (its label ``region_label``) is
    at most ``max_intensity`` grams per kWh, as ``feed`` says. An intensity that is not known or too old is not clean.

    Deferrable is what says so in ``header`` (``true``), is of one of ``levels``, or has at most ``max_priority``. It
    waits for ``max_wait`` at most, and no longer than its client allows. Then it goes, ``lead_time`` before the
    client's deadline, or with ``at_deadline: refuse`` it is refused.

    Raises:
        ValueError: there is nothing to wait for or nobody to wait, a bound is outside its range, or the feed is bad.
    """

    def __init__(
        self,
        clock: WallClock,
        hours: Sequence[CleanHours] = (),
        max_intensity: float | None = None,
        feed: IntensityFeed | None = None,
        region_label: str = REGION_LABEL,
        header: str = DEFERRABLE_HEADER,
        levels: Sequence[str] = (),
        max_priority: int | None = None,
        max_wait: timedelta = timedelta(hours=12),
        lead_time: timedelta = timedelta(minutes=1),
        at_deadline: Literal["go", "refuse"] = "go",
    ) -> None:
        if not hours and max_intensity is None:
            raise ValueError("hours or max_intensity must be given, got neither")
        if max_intensity is not None and not 0.0 <= max_intensity <= HIGHEST_INTENSITY:
            raise ValueError(f"max_intensity must be from 0 to {HIGHEST_INTENSITY:g}, got {max_intensity}")
        if (max_intensity is None) != (feed is None):
            raise ValueError(f"feed and max_intensity must be given together, got max_intensity {max_intensity}")
        if not header and not levels and max_priority is None:
            raise ValueError("header, levels or max_priority must be given, got none")
        if not timedelta(0) < max_wait <= LONGEST_WAIT:
            raise ValueError(f"max_wait must be above 0 and at most 24 h, got {max_wait.total_seconds():g} s")
        if lead_time < timedelta(0):
            raise ValueError(f"lead_time must be at least 0, got {lead_time.total_seconds():g} s")
        self._clock = clock
        self._hours = Hours(hours)
        self._most = max_intensity
        self._intensities = Intensities(None, feed, clock)
        self._region_label = region_label
        self._header = header.lower()
        self._levels = frozenset(level.casefold() for level in levels)
        self._max_priority = max_priority
        self._max_wait = max_wait.total_seconds()
        self._lead = lead_time.total_seconds()
        self._refuses = at_deadline == "refuse"
        self._regions: frozenset[str] = frozenset()
        self._deferred = 0
        self._released: Counter[Reason] = Counter()

    async def run(self) -> None:
        """Follows the feed."""
        await self._intensities.run()

    def endpoints_changed(self, endpoints: Sequence[Endpoint]) -> None:
        """Notes which regions are of use."""
        found = {endpoint.labels.get(self._region_label, "") for endpoint in endpoints}
        self._regions = frozenset(found - {""})

    def deferral(self, item: QueuedRequest, now: float) -> Deferral | None:
        """Whether the request is deferrable, and it is not clean, and there is time left."""
        if not self._is_deferrable(item.request):
            return None
        latest = item.enqueued_at + self._max_wait
        if not self._refuses:
            latest = min(latest, item.deadline - self._lead)
        reason = self._reason_to_go(now, latest)
        is_new = now - item.enqueued_at < _NEW_SECONDS
        if reason is not None:
            if not is_new:
                self._released[reason] += 1
            return None
        self._deferred += is_new
        until = min(self._next_look(now), latest)
        # Once the latest time has come, flow control ends what would rather be refused than go.
        return Deferral(until if until > now else now + LOOK_AGAIN_SECONDS, *((latest,) if self._refuses else ()))

    def diagnose(self, endpoints: Sequence[Endpoint], now: float) -> Diagnosis:
        """What is wrong with the feed, and regions whose intensity is not known."""
        findings = list(self._intensities.findings(now))
        if self._most is not None:
            unknown = sorted(self._regions - self._intensities.by_region(now).keys())
            message = f"the intensity of {', '.join(unknown[:20])} is not known: never clean by max_intensity"
            findings += [Finding("no-intensity", message)] if unknown else []
        return Diagnosis(findings)

    def readings(self) -> Iterable[Reading]:
        """How many requests were deferred, and why they went in the end."""
        yield CounterReading("clean_hours_deferred_total", "Requests that were deferred.", self._deferred)
        for reason in ("clean-hour", "clean-region", "deadline"):
            count = self._released[reason]
            yield CounterReading(
                "clean_hours_released_total", "Deferred requests that went.", count, {"reason": reason}
            )
        yield from self._intensities.readings()

    def _is_deferrable(self, request: InferenceRequest) -> bool:
        if self._header and (request.headers.get(self._header) or "").strip().lower() in _YES:
            return True
        if request.level and request.level.casefold() in self._levels:
            return True
        return self._max_priority is not None and request.priority <= self._max_priority

    def _reason_to_go(self, now: float, latest: float) -> Reason | None:
        if self._hours.are_now(self._clock.at(now)):
            return "clean-hour"
        if self._some_region_is_clean(now):
            return "clean-region"
        return "deadline" if now >= latest and not self._refuses else None

    def _some_region_is_clean(self, now: float) -> bool:
        if self._most is None:
            return False
        known = self._intensities.by_region(now)
        return any(known.get(region, HIGHEST_INTENSITY + 1.0) <= self._most for region in self._regions)

    def _next_look(self, now: float) -> float:
        again = now + (LOOK_AGAIN_SECONDS if self._most is None else INTENSITY_SECONDS)
        start = self._hours.next_start(self._clock.at(now))
        return again if start is None else min(again, self._clock.now_at(start.timestamp()))
