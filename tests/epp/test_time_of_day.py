import time

import pytest

from turnout.epp.time_of_day import machine_clock, unix_at_zero


def test_the_offset_of_a_clock_is_what_the_machine_shows_when_it_is_at_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_700_000_100.0)
    monkeypatch.setattr(time, "monotonic", lambda: 40.0)
    assert unix_at_zero(lambda: 100.0) == 1_700_000_000.0
    assert machine_clock().unix(41.0) == 1_700_000_101.0
