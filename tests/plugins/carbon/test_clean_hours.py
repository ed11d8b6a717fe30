import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from turnout.framework import CounterReading, Deferral, Headers, QueuedRequest, WallClock
from turnout.framework.testing import check_signatures, make_endpoint, make_request
from turnout.plugins.carbon.clean_hours import CleanHoursPolicy
from turnout.plugins.carbon.hours import CleanHours
from turnout.plugins.carbon.intensity import IntensityFeed

NOON = datetime(2026, 1, 15, 12, tzinfo=UTC).timestamp()
"""What the clock shows when ``now`` is 0."""
NIGHT = (CleanHours("22:00", "06:00"),)
HOUR = 3600.0


def asking(headers: dict[str, str] | None = None, deadline: float = float("inf"), **more: Any) -> QueuedRequest:
    stated = Headers((headers if headers is not None else {"x-turnout-deferrable": "true"}).items())
    return QueuedRequest(replace(make_request(), headers=stated, **more), 0.0, deadline)


def policy(**parameters: Any) -> CleanHoursPolicy:
    plugin = CleanHoursPolicy(WallClock(NOON), **{"hours": NIGHT, **parameters})
    check_signatures(plugin)
    return plugin


def goes_at(plugin: CleanHoursPolicy, item: QueuedRequest) -> float | None:
    """Asks as flow control does; when the request may go, None if it is refused before."""
    now = 0.0
    while (found := plugin.deferral(item, now)) is not None:
        if found.expires_at <= now:
            return None
        assert found.until > now
        now = min(found.until, found.expires_at)
    return now


def test_a_deferrable_request_goes_when_the_clean_hour_begins() -> None:
    plugin = policy()
    assert plugin.deferral(asking(), 0.0) == Deferral(300.0)
    assert goes_at(plugin, asking()) == 10 * HOUR
    assert plugin.deferral(asking(), 10 * HOUR + 5.0) is None


@pytest.mark.parametrize(
    ("parameters", "item", "waits"),
    [
        pytest.param({}, asking(), True, id="the client says so"),
        pytest.param({}, asking({"x-turnout-deferrable": " YES "}), True, id="in other words"),
        pytest.param({}, asking({"x-turnout-deferrable": "false"}), False, id="the client says no"),
        pytest.param({}, asking({}), False, id="the client says nothing"),
        pytest.param({"header": "X-Batch"}, asking({"x-batch": "1"}), True, id="another header"),
        pytest.param({"header": "", "levels": ["Low"]}, asking(level="low"), True, id="a level"),
        pytest.param({"levels": ["low"]}, asking({}, level="high"), False, id="another level"),
        pytest.param({"max_priority": -1}, asking({}, priority=-1), True, id="a low priority"),
        pytest.param({"max_priority": -1}, asking({}, priority=0), False, id="not low enough"),
        pytest.param({"header": "", "max_priority": -1}, asking(priority=0), False, id="clients have no say"),
    ],
)
def test_only_what_is_marked_waits(parameters: dict[str, Any], item: QueuedRequest, waits: bool) -> None:
    assert (policy(**parameters).deferral(item, 0.0) is not None) is waits


@pytest.mark.parametrize(
    ("parameters", "item", "goes"),
    [
        pytest.param({"max_wait": timedelta(hours=2)}, asking(), 2 * HOUR, id="no longer than allowed"),
        pytest.param({}, asking(deadline=HOUR), HOUR - 60.0, id="a minute before the client's deadline"),
        pytest.param({}, asking(deadline=30.0), 0.0, id="a client that has no minute"),
        pytest.param({"at_deadline": "refuse", "max_wait": timedelta(hours=2)}, asking(), None, id="rather refused"),
        pytest.param({"at_deadline": "refuse"}, asking(), 10 * HOUR, id="clean before that"),
    ],
)
def test_the_deadline_ends_the_wait(parameters: dict[str, Any], item: QueuedRequest, goes: float | None) -> None:
    assert goes_at(policy(**parameters), item) == goes


def feed(path: Path, grams: float, written: float = NOON) -> IntensityFeed:
    path.write_text(json.dumps({"regions": {"north": grams, "elsewhere": 0.0}}))
    os.utime(path, (written, written))
    return IntensityFeed(file=str(path))


@pytest.mark.parametrize(
    ("grams", "region", "now", "waits"),
    [
        pytest.param(100.0, "north", 0.0, False, id="clean"),
        pytest.param(100.1, "north", 0.0, True, id="not quite"),
        pytest.param(50.0, "south", 0.0, True, id="not known of this region"),
        pytest.param(50.0, "", 0.0, True, id="no region"),
        pytest.param(50.0, "north", 3 * HOUR, True, id="known three hours ago"),
    ],
)
def test_a_region_of_the_pool_that_is_clean_ends_the_wait(
    tmp_path: Path, grams: float, region: str, now: float, waits: bool
) -> None:
    plugin = policy(hours=(), max_intensity=100.0, feed=feed(tmp_path / "f", grams))
    plugin.endpoints_changed([make_endpoint(labels={"topology.kubernetes.io/region": region} if region else {})])
    item = replace(asking(), enqueued_at=now)
    assert plugin.deferral(item, now) == (Deferral(now + 15.0) if waits else None)
    found = plugin.diagnose([], now).findings
    causes = {"feed-stale", "no-intensity"} if now else {"no-intensity"} if region == "south" else set()
    assert {finding.cause for finding in found} == causes


def test_what_was_deferred_and_why_it_went_is_counted() -> None:
    plugin = policy(max_wait=timedelta(hours=11))
    goes_at(plugin, asking())
    goes_at(plugin, asking(deadline=HOUR))
    plugin.deferral(replace(asking(), enqueued_at=11 * HOUR), 11 * HOUR)
    counted = [reading.value for reading in plugin.readings() if isinstance(reading, CounterReading)]
    assert counted == [2, 1, 0, 1]


async def test_without_a_feed_there_is_nothing_to_follow() -> None:
    await policy().run()


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        pytest.param({"hours": ()}, "hours or max_intensity must be given, got neither", id="nothing to wait for"),
        pytest.param({"max_intensity": 100.0}, "feed and max_intensity must be given together", id="nobody tells"),
        pytest.param({"feed": IntensityFeed(url="http://a")}, "must be given together", id="what is clean?"),
        pytest.param({"max_intensity": -1.0}, "max_intensity must be from 0 to 2000, got -1.0", id="never clean"),
        pytest.param({"header": ""}, "header, levels or max_priority must be given, got none", id="nobody to wait"),
        pytest.param({"max_wait": timedelta(0)}, "max_wait must be above 0 and at most 24 h, got 0 s", id="no time"),
        pytest.param({"max_wait": timedelta(days=2)}, "max_wait must be above 0 and at most 24 h", id="for days"),
        pytest.param({"lead_time": timedelta(seconds=-1)}, "lead_time must be at least 0, got -1 s", id="too late"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(parameters: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        policy(**parameters)
