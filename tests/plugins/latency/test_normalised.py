import pytest

from turnout.plugins.latency.normalised import spread_out


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([2.0, 4.0, 3.0], ([0.0, 1.0, 0.5], True), id="between the smallest and the largest"),
        pytest.param([7.0, 7.0], ([0.5, 0.5], False), id="all alike"),
        pytest.param([5], ([0.5], False), id="one"),
    ],
)
def test_values_are_spread_out(values: list[float], expected: tuple[list[float], bool]) -> None:
    assert spread_out(values) == expected
