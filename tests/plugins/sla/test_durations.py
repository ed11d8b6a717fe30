import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.plugins.sla.durations import add_duration, new_sketch, quantiles_of

QUANTILES = (0.0, 0.5, 0.9, 0.99, 0.999, 1.0)


@given(
    slices=st.lists(st.lists(st.floats(1e-6, 1e6), max_size=80), max_size=12),
    quantile=st.sampled_from(QUANTILES) | st.floats(0.0, 1.0),
)
def test_quantiles_of_merged_slices_are_off_by_at_most_one_percent(slices: list[list[float]], quantile: float) -> None:
    sketches = []
    for durations in slices:
        sketches.append(new_sketch())
        for seconds in durations:
            add_duration(sketches[-1], seconds)
    ordered = sorted(seconds for durations in slices for seconds in durations)
    found = quantiles_of(sketches, [quantile])
    if not ordered:
        assert found == {}
        return
    true = ordered[math.floor(quantile * (len(ordered) - 1))]
    assert found[quantile] == pytest.approx(true, rel=0.01 + 1e-9)


def test_asking_changes_no_slice() -> None:
    sketches = [new_sketch(), new_sketch()]
    add_duration(sketches[0], 1.0)
    assert [quantiles_of(sketches, [1.0]) for _ in range(3)] == [quantiles_of(sketches, [1.0])] * 3
    assert [sketch.count for sketch in sketches] == [1.0, 0.0]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        pytest.param(0.0, 0.0, id="no time"),
        pytest.param(1e-7, 0.0, id="too short to tell"),
        pytest.param(5e-324, 0.0, id="the shortest number"),
        pytest.param(1e300, 1e6, id="longer than anybody waits"),
    ],
)
def test_durations_beyond_the_range_count_as_its_ends(seconds: float, shown: float) -> None:
    sketch = new_sketch()
    add_duration(sketch, seconds)
    assert quantiles_of([sketch], [0.5])[0.5] == pytest.approx(shown, rel=0.01)


def test_a_sketch_of_everything_has_a_bounded_number_of_buckets() -> None:
    sketch = new_sketch()
    for exponent in range(-300, 300):
        add_duration(sketch, 10.0**exponent)
    assert sketch._store.length() == 1408
