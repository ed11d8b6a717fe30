import asyncio
import json
import os
from datetime import timedelta
from pathlib import Path

import pytest

from plugins.http_servers import saying, serving
from turnout.framework import WallClock
from turnout.plugins.carbon.intensity import Intensities, IntensityFeed, checked, parsed

WRITTEN = 1_700_000_000.0


def write(path: Path, regions: object) -> str:
    path.write_text(json.dumps({"regions": regions, "source": "somebody"}))
    os.utime(path, (WRITTEN, WRITTEN))
    return str(path)


def test_the_feed_is_newer_than_the_table_until_it_is_stale(tmp_path: Path) -> None:
    feed = IntensityFeed(file=write(tmp_path / "f", {"north": 20, "west": 300.5}), max_age=timedelta(seconds=100))
    found = Intensities({"north": 50.0, "south": 400.0}, feed, WallClock(WRITTEN))
    assert found.by_region(60.0) == {"north": 20.0, "south": 400.0, "west": 300.5}
    assert found.by_region(60.0) is found.by_region(61.0)
    assert found.age(60.0) == 60.0
    assert found.findings(60.0) == ()
    assert found.by_region(101.0) == {"north": 50.0, "south": 400.0}
    assert [finding.cause for finding in found.findings(101.0)] == ["feed-stale"]
    assert [reading.name for reading in found.readings()] == ["feed_written_timestamp_seconds", "feed_failures_total"]


def test_without_a_feed_the_table_holds_for_ever() -> None:
    found = Intensities({"north": 50.0}, None, WallClock())
    assert found.by_region(1e9) == {"north": 50.0}
    assert (found.findings(1e9), found.age(1e9), list(found.readings()), found.is_empty) == ((), None, [], False)
    assert Intensities(None, None, WallClock()).is_empty


async def test_a_server_that_lies_changes_nothing() -> None:
    async with serving(saying(b'{"regions": {"north": 20}}')) as server:
        found = Intensities(None, IntensityFeed(url=server.url, interval=timedelta(milliseconds=100)), WallClock())
        task = asyncio.create_task(found.run())
        asked = asyncio.get_running_loop()
        while not server.asked or not found.by_region(asked.time()):
            await asyncio.sleep(0.01)
        server.answer = saying(b'{"regions": {"north": -20}}')
        while not found.findings(asked.time()):
            await asyncio.sleep(0.01)
        assert found.by_region(asked.time()) == {"north": 20.0}
        (finding,) = found.findings(asked.time())
        assert "must be from 0 to 2000 g/kWh, got -20" in finding.message
        task.cancel()
        await asyncio.wait([task])


@pytest.mark.parametrize(
    ("grams", "problem"),
    [
        pytest.param(-0.5, "must be from 0 to 2000 g/kWh, got -0.5", id="below 0"),
        pytest.param(float("nan"), "must be from 0 to 2000 g/kWh, got nan", id="not a number"),
        pytest.param(float("inf"), "must be from 0 to 2000 g/kWh, got inf", id="infinite"),
        pytest.param(1e308, "must be from 0 to 2000 g/kWh, got 1e[+]308", id="absurd"),
        pytest.param(250_000.0, "must be from 0 to 2000 g/kWh, got 250000.0", id="in milligrams"),
    ],
)
def test_what_no_grid_has_is_refused(grams: float, problem: str) -> None:
    with pytest.raises(ValueError, match=r"regions\['north'\] " + problem):
        checked({"north": grams}, "regions")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(b'{"north": 20}', "missing required field `regions`", id="another form"),
        pytest.param(b'{"regions": {"north": null}}', "Expected `float`, got `null`", id="nothing for a number"),
        pytest.param(b'{"regions": {"": 20}}', "must have names of 1 to 253 characters", id="no name"),
        pytest.param(
            json.dumps({"regions": {str(number): 1 for number in range(10_001)}}).encode(),
            "must have at most 10000 regions, got 10001",
            id="too many",
        ),
    ],
)
def test_a_document_in_another_form_is_refused(content: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parsed(content)


def test_a_feed_without_a_place_or_an_age_is_refused() -> None:
    with pytest.raises(ValueError, match="file or url must be given"):
        IntensityFeed()
    with pytest.raises(ValueError, match="max_age must be above 0, got 0 s"):
        IntensityFeed(url="http://a", max_age=timedelta(0))
