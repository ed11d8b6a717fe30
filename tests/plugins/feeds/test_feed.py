import asyncio
import contextlib
import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from plugins.http_servers import saying, serving
from turnout.framework import CounterReading, GaugeReading, WallClock
from turnout.plugins.feeds.feed import Feed, decoded
from turnout.plugins.feeds.source import FeedSource

WRITTEN = 1_700_000_000.0


def parse(content: bytes) -> Mapping[str, float]:
    found = decoded(content, dict[str, float])
    if any(value < 0 for value in found.values()):
        raise ValueError("a value is below 0")
    return found


def write(path: Path, text: str, dated: float = WRITTEN) -> None:
    path.write_text(text)
    os.utime(path, (dated, dated))


def clock_at(unix: float) -> WallClock:
    """Tells this time of day to the running loop, whatever time its own clock has."""
    return WallClock(unix - asyncio.get_running_loop().time())


def now() -> float:
    return asyncio.get_running_loop().time()


async def feed_of(path: Path, text: str, clock: WallClock, max_age: float | None = None) -> Feed[Mapping[str, float]]:
    write(path, text)
    age = None if max_age is None else timedelta(seconds=max_age)
    return Feed(FeedSource(file=str(path)), parse, clock, age)


def causes(feed: Feed[Mapping[str, float]]) -> list[str]:
    return [finding.cause for finding in feed.findings(now())]


async def test_a_file_is_there_from_the_start(tmp_path: Path) -> None:
    feed = await feed_of(tmp_path / "f", '{"a": 1}', clock_at(WRITTEN + 60.0))
    assert feed.value == {"a": 1.0}
    assert feed.age(now()) == pytest.approx(60.0, abs=5.0)
    assert causes(feed) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("", "has no good content: Input data was truncated", id="empty"),
        pytest.param('{"a": 1', "has no good content: Input data was truncated", id="half of it"),
        pytest.param('{"a": NaN}', "has no good content: JSON is malformed", id="not a number"),
        pytest.param('{"a": 1e999}', "has no good content: Number out of range", id="infinity"),
        pytest.param('{"a": "1"}', "has no good content: Expected `float`, got `str`", id="text for a number"),
        pytest.param('{"a": -1}', "has no good content: a value is below 0", id="what its owner refuses"),
        pytest.param("[" * 100_000, "has no good content: ", id="nested without an end"),
    ],
)
async def test_a_bad_file_stops_the_start_and_later_costs_nothing_but_its_news(
    tmp_path: Path, text: str, problem: str
) -> None:
    path = tmp_path / "f"
    with pytest.raises(ValueError, match=f"{path}: {problem}"):
        await feed_of(path, text, WallClock())
    feed = await feed_of(path, '{"a": 1}', clock_at(WRITTEN + 60.0))
    write(path, text, WRITTEN + 10.0)
    await feed.refresh()
    assert feed.value == {"a": 1.0}
    assert feed.problem.startswith(problem)
    assert causes(feed) == ["feed-failed"]
    write(path, '{"a": 2}', WRITTEN + 20.0)
    await feed.refresh()
    assert feed.value == {"a": 2.0}
    assert causes(feed) == []


async def test_a_file_that_is_deleted_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "f"
    feed = await feed_of(path, '{"a": 1}', clock_at(WRITTEN + 60.0))
    path.unlink()
    await feed.refresh()
    assert (feed.value, feed.problem) == ({"a": 1.0}, "cannot be read: No such file or directory")
    write(path, '{"a": 1}')
    await feed.refresh()
    assert feed.problem == ""


async def test_half_of_a_file_is_read_again_though_size_and_time_stay(tmp_path: Path) -> None:
    path = tmp_path / "f"
    feed = await feed_of(path, '{"a": 1}', clock_at(WRITTEN + 60.0))
    write(path, '{"a":  ,', WRITTEN + 5.0)
    await feed.refresh()
    write(path, '{"a": 3}', WRITTEN + 5.0)
    await feed.refresh()
    assert feed.value == {"a": 3.0}


async def test_a_value_that_stays_the_same_is_not_replaced(tmp_path: Path) -> None:
    feed = await feed_of(tmp_path / "f", '{"a": 1}', clock_at(WRITTEN + 60.0))
    await feed.refresh()
    first = feed.value
    await feed.refresh()
    assert feed.value is first


async def test_a_value_goes_stale_and_stays_visible(tmp_path: Path) -> None:
    clock = clock_at(WRITTEN + 100.0)
    feed = await feed_of(tmp_path / "f", '{"a": 1}', clock, max_age=200.0)
    assert feed.fresh(now()) == {"a": 1.0}
    assert feed.fresh(now() + 120.0) is None
    assert feed.value == {"a": 1.0}
    (finding,) = feed.findings(now() + 120.0)
    assert finding.cause == "feed-stale"
    assert "was last renewed 2" in finding.message
    assert list(feed.readings("prices")) == [
        GaugeReading(
            "feed_written_timestamp_seconds",
            "When the value of a feed was written, in seconds since 1970; 0 before there was one.",
            WRITTEN,
            {"feed": "prices"},
        ),
        CounterReading("feed_failures_total", "Looks at a feed that gave no good value.", 0, {"feed": "prices"}),
    ]


async def test_a_file_from_the_future_gets_older_all_the_same(tmp_path: Path) -> None:
    feed = await feed_of(tmp_path / "f", '{"a": 1}', clock_at(WRITTEN - 1e8), max_age=10.0)
    await feed.refresh()
    assert not feed.is_stale(now())
    assert feed.is_stale(now() + 20.0)


async def test_a_server_need_not_answer_at_the_start() -> None:
    async with serving(saying(b"no", 503)) as server:
        feed = Feed(FeedSource(url=server.url), parse, WallClock(), timedelta(seconds=10))
        assert (feed.value, feed.age(0.0), feed.is_stale(0.0), causes(feed)) == (None, None, True, [])
        await feed.refresh()
        assert (feed.value, causes(feed)) == (None, ["feed-empty"])
        server.answer = saying(b'{"a": 1}')
        await feed.refresh()
        assert (feed.value, feed.problem) == ({"a": 1.0}, "")
        server.answer = saying(b'{"a": -1}')
        await feed.refresh()
        assert (feed.value, causes(feed)) == ({"a": 1.0}, ["feed-failed"])
        _, failures = feed.readings("f")
        assert isinstance(failures, CounterReading)
        assert failures.value == 2


async def test_it_looks_until_it_is_cancelled_and_again_after_a_reload() -> None:
    asked: asyncio.Queue[None] = asyncio.Queue()
    good = saying(b'{"a": 1}')

    async def answer(request: object) -> object:
        asked.put_nowait(None)
        return await good(request)  # type: ignore[arg-type]

    async with serving(answer) as server:  # type: ignore[arg-type]
        feed = Feed(FeedSource(url=server.url, interval=timedelta(milliseconds=100)), parse, WallClock())
        for _ in range(2):
            task = asyncio.create_task(feed.run())
            await asked.get()
            await asked.get()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
    assert feed.value == {"a": 1.0}


def test_an_age_limit_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="max_age must be above 0, got 0 s"):
        Feed(FeedSource(url="http://a"), parse, WallClock(), timedelta(0))
