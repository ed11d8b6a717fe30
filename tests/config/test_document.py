import pytest

from turnout.config import ConfigError
from turnout.config.document import MAX_BYTES, Value, plain_value, read_document


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("", None, id="nothing"),
        pytest.param("~", None, id="tilde"),
        pytest.param("yes", True, id="yes is true, as in the field's YAML"),
        pytest.param("Off", False, id="off is false"),
        pytest.param("12", 12, id="an integer"),
        pytest.param("-7", -7, id="a negative integer"),
        pytest.param("0x1F", 31, id="hexadecimal"),
        pytest.param("012", 12.0, id="a leading zero is no octal"),
        pytest.param("1e3", 1000.0, id="an exponent without a dot, as JSON has it"),
        pytest.param(".5", 0.5, id="no digit before the dot"),
        pytest.param("-.inf", float("-inf"), id="infinity"),
        pytest.param("1:30", "1:30", id="no base 60"),
        pytest.param("2024-01-01", "2024-01-01", id="no dates"),
        pytest.param("1Gi", "1Gi", id="a quantity is text"),
    ],
)
def test_an_unquoted_word_means(text: str, value: Value) -> None:
    assert plain_value(text) == value


def test_json_is_read_with_tabs_and_escaped_pairs() -> None:
    document = read_document('{\n\t"a": "\\ud83d\\ude00",\n\t"b": [1, 2.5, null, true]\n}', "x")
    assert document.data == {"a": "😀", "b": [1, 2.5, None, True]}
    assert document.lines[("b", 1)] == 3


def test_every_value_has_its_line_also_behind_an_alias() -> None:
    document = read_document("a: &x\n  b: 1\nc:\n- 2\n- *x\n", "x")
    assert document.data == {"a": {"b": 1}, "c": [2, {"b": 1}]}
    assert [document.lines[path] for path in (("a",), ("a", "b"), ("c", 0), ("c", 1))] == [1, 2, 4, 1]


def bomb() -> str:
    levels = [f"a{level}: &a{level} [" + ",".join([f"*a{level - 1}"] * 9) + "]" for level in range(1, 9)]
    return "\n".join(["a0: &a0 [x]", *levels])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("a: 1\na: 2\n", "2: a: the key is given twice, first on line 1", id="a duplicate key"),
        pytest.param("1: a\n", "1: document: the key '1' is not text; put the key in quotes", id="a number as key"),
        pytest.param("[a]: b\n", "1: document: the key of several values is not text", id="a list as key"),
        pytest.param("a: !!python/object:os.system x\n", "the tag", id="a Python tag"),
        pytest.param("a: !!set {b}\n", "the tag", id="a set"),
        pytest.param("a: [1\n", "2: document: not valid YAML", id="an open bracket"),
        pytest.param("a: 1\n---\nb: 2\n", "2: document: not valid YAML", id="two documents"),
        pytest.param("a: &x [*x]\n", "refers to itself", id="a list within itself"),
        pytest.param("", "1: document: the document is empty", id="nothing at all"),
        pytest.param("# only this\n", "1: document: the document is empty", id="only a comment"),
        pytest.param("- a\n", "1: document: the document is a list", id="a list"),
        pytest.param("a: \x07\n", "1: document: not valid YAML", id="a control character"),
        pytest.param('a: "\\0"\n', "1: a: text with a NUL character", id="an escaped NUL"),
        pytest.param('a: "\\ud800"\n', "1: a: text with half of a surrogate pair", id="half a pair"),
        pytest.param("a: " + "9" * 5000, "1: a: a number of 5000 digits; at most 40 are read", id="a huge number"),
        pytest.param("a: *b\n", "1: document: not valid YAML: found undefined alias", id="an unknown alias"),
        pytest.param("[" * 5000, "nested more than 40 levels deep", id="deep nesting"),
        pytest.param(bomb(), "more than 50000 values, aliases counted as often as used", id="an alias bomb"),
        pytest.param("#" * (MAX_BYTES + 1), "1: document: the document has 1048577 characters", id="too long"),
    ],
)
def test_a_text_that_is_no_document_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_document(text, "x")
    assert problem in str(caught.value)


def test_all_bad_keys_are_reported() -> None:
    with pytest.raises(ConfigError) as caught:
        read_document("a: 1\na: 2\nb:\n  c: 1\n  c: 2\n", "x")
    assert [(problem.line, problem.path) for problem in caught.value.problems] == [(2, "a"), (5, "b.c")]
