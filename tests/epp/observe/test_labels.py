import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.epp.observe.labels import DistinctValues, LabelSets, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("meta/llama-3 8B", "meta/llama-3 8B", id="plain text stays"),
        pytest.param("modèle", "modèle", id="other alphabets stay"),
        pytest.param("a\nb\x00c", "a\ufffdb\ufffdc", id="control characters"),
        pytest.param("a\u2028b\x85c", "a\ufffdb\ufffdc", id="characters that some readers take for line ends"),
        pytest.param(b"m\xff".decode("utf-8", "surrogateescape"), "m\ufffd", id="a byte that is no UTF-8"),
        pytest.param("m\ud800", "m\ufffd", id="a lone surrogate out of JSON"),
        pytest.param("x" * 300, "x" * 256, id="longer than 256 characters"),
    ],
)
def test_text_is_made_printable_and_short(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_any_text_becomes_one_line_of_utf_8(text: str) -> None:
    shown = printable(text)
    assert shown.encode().decode() == shown
    assert len(shown.splitlines()) <= 1
    assert len(shown) <= 256


def test_what_goes_beyond_the_limit_becomes_other_and_what_was_known_stays() -> None:
    names = DistinctValues(2)
    assert [names.fold(text) for text in ("a", "b", "c", "a", "", "c", "b")] == [
        "a",
        "b",
        "other",
        "a",
        "",
        "other",
        "b",
    ]


def test_combinations_beyond_the_bound_share_one() -> None:
    made: list[str] = []

    def make(key: str) -> list[str]:
        made.append(key)
        return [key]

    sets: LabelSets[str, list[str]] = LabelSets(2, str.lower, lambda key: f"other {key[0]}", make)
    first, second = sets.of("A1"), sets.of("b1")
    assert (sets.of("a1"), sets.of("A1")) == (first, first)
    assert sets.of("a2") is sets.of("a3")
    assert sets.of("b2") is not sets.of("a2")
    assert (first, second) == (["a1"], ["b1"])
    assert made == ["a1", "b1", "other a", "other b"]
