import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.plugins.strategies.hysteresis import HysteresisSwitch, Thresholds


def test_it_goes_on_at_one_value_and_off_below_a_lower_one() -> None:
    switch = HysteresisSwitch(Thresholds(enter=0.3, leave=0.1))
    values = [0.0, 0.29, 0.3, 0.11, 0.1, 0.09, 0.29, 5.0, float("inf")]
    assert [switch.see(value) for value in values] == [False, False, True, True, True, False, False, True, True]


@given(on=st.booleans(), values=st.lists(st.floats(0.1, 0.3, exclude_max=True) | st.just(float("nan"))))
def test_nothing_between_the_thresholds_changes_it(on: bool, values: list[float]) -> None:
    switch = HysteresisSwitch(Thresholds(enter=0.3, leave=0.1))
    switch.see(1.0 if on else 0.0)
    assert {switch.see(value) for value in values} <= {on}
    assert switch.is_on == on


@pytest.mark.parametrize(
    ("enter", "leave"),
    [(0.1, 0.1), (0.1, 0.2), (1.0, -0.1), (float("inf"), 0.0), (float("nan"), 0.0), (1.0, float("nan"))],
)
def test_the_thresholds_are_apart(enter: float, leave: float) -> None:
    with pytest.raises(ValueError, match="leave must be at least 0 and below enter, which must be finite, got leave"):
        Thresholds(enter, leave)
