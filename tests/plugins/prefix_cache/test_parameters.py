import pytest

from turnout.plugins.prefix_cache.parameters import at_least


@pytest.mark.parametrize("value", [3, 3.0, 10**30])
def test_the_bound_and_what_lies_above_it_is_accepted(value: float) -> None:
    at_least("size", value, 3)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        pytest.param(2, "2", id="below the bound"),
        pytest.param(-1.5, "-1.5", id="negative"),
        pytest.param(float("inf"), "inf", id="infinite"),
        pytest.param(float("nan"), "nan", id="no number"),
    ],
)
def test_anything_else_is_refused_by_name_and_bound(value: float, shown: str) -> None:
    with pytest.raises(ValueError, match=rf"^size must be at least 3, got {shown}$"):
        at_least("size", value, 3)
