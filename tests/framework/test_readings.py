import pytest

from turnout.framework import Histogram


def test_a_value_counts_in_the_first_bucket_that_holds_it() -> None:
    histogram = Histogram([0.0, 0.5, 1.0])
    for value in (0.0, 0.25, 0.5, 0.75, 3.0):
        histogram.observe(value)
    assert histogram.counts == [1, 2, 1, 1]
    assert histogram.total == 4.5


@pytest.mark.parametrize("bounds", [pytest.param([1.0, 0.5], id="descending"), pytest.param([1.0, 1.0], id="repeated")])
def test_bounds_ascend(bounds: list[float]) -> None:
    with pytest.raises(ValueError, match="bounds must ascend"):
        Histogram(bounds)
