import pytest

from turnout.plugins.saturation.headroom import filter_limit


@pytest.mark.parametrize(("headroom", "expected"), [(0.0, 1.0), (0.25, 1.25), (3.0, 4.0)])
def test_headroom_is_added_to_the_set_point(headroom: float, expected: float) -> None:
    assert filter_limit(headroom) == expected


@pytest.mark.parametrize("headroom", [-0.1, float("inf"), float("nan")])
def test_headroom_is_at_least_nothing_and_finite(headroom: float) -> None:
    with pytest.raises(ValueError, match=f"headroom must be at least 0 and finite, got {headroom}"):
        filter_limit(headroom)
