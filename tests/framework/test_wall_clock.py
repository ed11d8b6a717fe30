import pytest

from turnout.framework import WallClock


def test_the_time_of_day_follows_what_plugins_are_told() -> None:
    clock = WallClock(1_700_000_000.0)
    assert clock.at(0.0).isoformat() == "2023-11-14T22:13:20+00:00"
    assert clock.at(40.5).isoformat() == "2023-11-14T22:14:00.500000+00:00"
    assert clock.unix(40.5) == 1_700_000_040.5
    assert clock.now_at(1_700_000_040.5) == 40.5


def test_a_clock_that_is_set_again_tells_the_new_time() -> None:
    clock = WallClock(0.0)
    clock.set(86_400.0)
    assert clock.at(1.0).isoformat() == "1970-01-02T00:00:01+00:00"


@pytest.mark.parametrize(
    ("unix", "shown"),
    [
        pytest.param(-1e300, "1970-01-01T00:00:00+00:00", id="before all time"),
        pytest.param(1e300, "9999-12-30T00:00:00+00:00", id="after all time"),
    ],
)
def test_a_time_that_no_calendar_has_is_its_nearest_end(unix: float, shown: str) -> None:
    assert WallClock(unix).at(0.0).isoformat() == shown
