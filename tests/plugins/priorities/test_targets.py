from datetime import timedelta

import pytest

from turnout.plugins.priorities.targets import check_priority, target_of


def test_a_target_is_in_seconds_and_may_be_absent() -> None:
    assert target_of("ttft_target", timedelta(milliseconds=250)) == 0.25
    assert target_of("ttft_target", None) is None


@pytest.mark.parametrize("duration", [timedelta(), timedelta(seconds=-1)])
def test_a_target_is_positive(duration: timedelta) -> None:
    with pytest.raises(ValueError, match=f"tpot_target must be positive, got {duration}"):
        target_of("tpot_target", duration)


@pytest.mark.parametrize("priority", [2**31 - 1, 0, -(2**31)])
def test_a_priority_may_have_32_bits(priority: int) -> None:
    check_priority("priority", priority)


@pytest.mark.parametrize("priority", [2**31, -(2**31) - 1, 10**100])
def test_a_priority_has_at_most_32_bits(priority: int) -> None:
    with pytest.raises(ValueError, match=rf"priority must be within \[-2147483648, 2147483647\], got {priority}"):
        check_priority("priority", priority)
