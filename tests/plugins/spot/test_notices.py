import pytest

from turnout.plugins.spot.notices import AT_ONCE, drain_at, is_readable


@pytest.mark.parametrize(
    ("stated", "at"),
    [
        pytest.param(None, None, id="no notice"),
        pytest.param("1700000000", 1_700_000_000.0, id="seconds since 1970"),
        pytest.param("1700000000.5", 1_700_000_000.5, id="half a second more"),
        pytest.param("2023-11-14T22:13:20Z", 1_700_000_000.0, id="RFC 3339"),
        pytest.param("2023-11-14T23:13:20+01:00", 1_700_000_000.0, id="in another zone"),
        pytest.param(" 2023-11-14T22:13:20Z ", 1_700_000_000.0, id="with blanks"),
        pytest.param("2023-11-14T22:13:20", 1_700_000_000.0, id="without a zone it is UTC"),
        pytest.param("now", AT_ONCE, id="now"),
        pytest.param("", AT_ONCE, id="empty"),
        pytest.param("true", AT_ONCE, id="no time"),
        pytest.param("-5", AT_ONCE, id="before 1970"),
        pytest.param("nan", AT_ONCE, id="not a number"),
        pytest.param("inf", AT_ONCE, id="never, which is no notice"),
        pytest.param("9" * 100_000, AT_ONCE, id="a long number"),
        pytest.param("1700000000000", AT_ONCE, id="milliseconds"),
        pytest.param("253402300799", 253_402_300_799.0, id="the latest that can be said"),
        pytest.param("2023-13-45T00:00:00Z", AT_ONCE, id="no date"),
        pytest.param("١٧", AT_ONCE, id="digits of another script"),
    ],
)
def test_a_notice_says_when_and_holds_at_once_if_it_does_not(stated: str | None, at: float | None) -> None:
    assert drain_at(stated) == at


def test_only_notices_that_say_when_are_readable() -> None:
    assert all(map(is_readable, ("now", "1700000000")))
    assert not any(map(is_readable, ("soon", "", "1700000000000")))
