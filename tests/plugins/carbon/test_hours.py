from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.plugins.carbon.hours import CleanHours, Hours


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


NIGHT = CleanHours("22:00", "06:00", "Europe/Berlin")
NOON = CleanHours("11:00", "15:30", "Europe/Berlin", ("sat", "sun"))


@pytest.mark.parametrize(
    ("hours", "at", "is_clean"),
    [
        pytest.param([NIGHT], "2026-01-15 20:59:59", False, id="a second before ten in winter"),
        pytest.param([NIGHT], "2026-01-15 21:00:00", True, id="ten in winter"),
        pytest.param([NIGHT], "2026-07-15 20:00:00", True, id="ten in summer"),
        pytest.param([NIGHT], "2026-01-16 04:59:59", True, id="before six"),
        pytest.param([NIGHT], "2026-01-16 05:00:00", False, id="six"),
        pytest.param([NOON], "2026-01-17 10:00:00", True, id="Saturday noon"),
        pytest.param([NOON], "2026-01-16 10:00:00", False, id="Friday noon"),
        pytest.param([CleanHours("22:00", "06:00", days=("fri",))], "2026-01-17 05:00:00", True, id="Friday's night"),
        pytest.param(
            [CleanHours("22:00", "06:00", days=("fri",))], "2026-01-16 05:00:00", False, id="Thursday's night"
        ),
        pytest.param([CleanHours("22:00", "24:00")], "2026-01-16 23:59:59", True, id="until midnight"),
        pytest.param([CleanHours("22:00", "24:00")], "2026-01-17 00:00:00", False, id="and no longer"),
        pytest.param([CleanHours("00:00", "24:00")], "2026-01-17 12:00:00", True, id="all day"),
        pytest.param([NIGHT, NOON], "2026-01-17 10:00:00", True, id="one of two"),
        pytest.param([], "2026-01-17 10:00:00", False, id="no hours"),
    ],
)
def test_hours_are_by_the_clock_of_their_zone(hours: list[CleanHours], at: str, is_clean: bool) -> None:
    assert Hours(hours).are_now(utc(at)) is is_clean


@pytest.mark.parametrize(
    ("hours", "at", "start"),
    [
        pytest.param(NIGHT, "2026-01-15 12:00", "2026-01-15 21:00", id="tonight"),
        pytest.param(NIGHT, "2026-01-15 21:00", "2026-01-16 21:00", id="it began this moment"),
        pytest.param(NOON, "2026-01-15 12:00", "2026-01-17 10:00", id="on Saturday"),
        pytest.param(NOON, "2026-01-18 12:00", "2026-01-24 10:00", id="next week"),
        # On 29 March 2026 the clocks of Berlin go from 2:00 to 3:00, on 25 October from 3:00 to 2:00.
        pytest.param(
            CleanHours("02:30", "06:00", "Europe/Berlin"), "2026-03-29 00:00", "2026-03-29 01:00", id="skipped"
        ),
        pytest.param(CleanHours("02:30", "06:00", "Europe/Berlin"), "2026-10-25 00:00", "2026-10-25 00:30", id="first"),
        pytest.param(CleanHours("02:30", "06:00", "Europe/Berlin"), "2026-10-25 00:30", "2026-10-25 01:30", id="again"),
    ],
)
def test_the_next_start_minds_the_changes_of_the_clocks(hours: CleanHours, at: str, start: str) -> None:
    assert Hours([hours]).next_start(utc(at)) == utc(start)


def test_the_next_start_is_looked_for_once_until_it_comes() -> None:
    hours = Hours([CleanHours("02:30", "06:00", "Europe/Berlin"), CleanHours("12:00", "13:00")])
    start = hours.next_start(utc("2026-01-01 02:00"))
    assert start == utc("2026-01-01 12:00")
    assert hours.next_start(utc("2026-01-01 11:59")) is start
    assert hours.next_start(utc("2026-01-01 12:00")) == utc("2026-01-02 01:30")
    assert hours.next_start(utc("2026-01-01 00:00")) == utc("2026-01-01 01:30"), "the machine's time was set back"


def test_an_hour_that_is_skipped_does_not_come_and_one_that_is_repeated_comes_twice() -> None:
    hours = Hours([CleanHours("02:15", "02:45", "Europe/Berlin")])
    minutes = [utc("2026-03-29 00:00") + timedelta(minutes=minute) for minute in range(180)]
    assert not any(map(hours.are_now, minutes))
    minutes = [utc("2026-10-25 00:00") + timedelta(minutes=minute) for minute in range(180)]
    assert sum(map(hours.are_now, minutes)) == 60


@given(
    at=st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1)),  # noqa: DTZ001 - made UTC below
    begin=st.times(),
    end=st.times(),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]),
    days=st.sets(st.sampled_from(["mon", "wed", "sun"])),
)
def test_between_now_and_the_next_start_no_range_begins(
    at: datetime, begin: Any, end: Any, zone: str, days: Any
) -> None:
    begin, end = f"{begin:%H:%M}", f"{end:%H:%M}"
    if begin == end:
        return
    hours = Hours([CleanHours(begin, end, zone, tuple(days))])
    now = at.replace(tzinfo=UTC)
    start = hours.next_start(now)
    assert start is not None
    assert now < start <= now + timedelta(days=9)
    if not hours.are_now(now):
        early = [now + (start - now) * share / 20 for share in range(20)]
        assert not any(map(hours.are_now, early))


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        pytest.param(("25:00", "06:00"), "from_ must be a time such as 22:30, got '25:00'", id="no such hour"),
        pytest.param(("22", "06:00"), "from_ must be a time such as 22:30, got '22'", id="no minutes"),
        pytest.param(("22:00", "6am"), "to must be a time such as 22:30, got '6am'", id="another spelling"),
        pytest.param(("22:00", "22:00"), "to must differ from from_, got '22:00'", id="no length"),
        pytest.param(
            ("22:00", "06:00", "Mars/Olympus"), "time_zone must be a name of the time zone", id="no such zone"
        ),
        pytest.param(("22:00", "06:00", "../../etc/passwd"), "time_zone must be a name of the time zone", id="a path"),
        pytest.param(("22:00", "06:00", ""), "time_zone must be a name of the time zone", id="no zone"),
    ],
)
def test_hours_that_make_no_sense_are_refused(parameters: tuple[str, ...], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        CleanHours(*parameters)  # type: ignore[arg-type]
