import pytest

from turnout.plugins.model_cache.stated import names_in, seconds_in


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", set(), id="nothing"),
        pytest.param("a", {"a"}, id="one"),
        pytest.param("a, org/b;c,,a", {"a", "org/b", "c"}, id="several, with anything in between"),
    ],
)
def test_names_are_read(text: str, expected: set[str]) -> None:
    assert names_in(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("12.5", 12.5, id="a number"),
        pytest.param("0", 0.0, id="at once"),
        pytest.param("", None, id="nothing"),
        pytest.param("-1", None, id="negative"),
        pytest.param("nan", None, id="no number"),
        pytest.param("inf", None, id="for ever"),
        pytest.param("86401", None, id="longer than a day"),
        pytest.param("soon", None, id="a word"),
    ],
)
def test_load_times_are_read(text: str, expected: float | None) -> None:
    assert seconds_in(text) == expected
