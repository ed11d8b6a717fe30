from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.framework import REQUEST_BODY, CycleState, Headers, InferenceRequest
from turnout.framework.testing import make_request, make_state
from turnout.plugins.priorities.stated import UNUSABLE, StatedLevel

HEADER = StatedLevel("X-Priority-Level", "")
BOTH = StatedLevel("x-priority-level", "priority")


def request_with(*values: str) -> InferenceRequest:
    return replace(make_request(), headers=Headers([("x-priority-level", value) for value in values]))


def state_with(body: bytes) -> CycleState:
    state = make_state()
    state.write(REQUEST_BODY, body)
    return state


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([], None, id="no header"),
        pytest.param([""], None, id="an empty header"),
        pytest.param(["High"], "High", id="a name, as it was written"),
        pytest.param(["high", "high"], "high", id="twice the same"),
        pytest.param(["high", "low"], UNUSABLE, id="two different ones"),
        pytest.param(["high", ""], UNUSABLE, id="one of two empty"),
        pytest.param(["x" * 64], "x" * 64, id="64 characters"),
        pytest.param(["x" * 65], UNUSABLE, id="one more"),
        pytest.param(["x" * 1_000_000], UNUSABLE, id="a million"),
        pytest.param(["\udcff"], "\udcff", id="what was no UTF-8 stays as it came, and no level has its name"),
    ],
)
def test_a_header_states_a_level(values: Sequence[str], expected: str | None) -> None:
    assert HEADER.of(request_with(*values), make_state()) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(b'{"priority": "low"}', "low", id="a name"),
        pytest.param(b'{"priority": -50, "model": "m"}', -50, id="a whole number"),
        pytest.param(b'{"priority": "l\\u006fw"}', "low", id="a name with escapes"),
        pytest.param(b'{"priority": "low", "priority": "high"}', "high", id="the last of two, as engines read it"),
        pytest.param(b'{"x": {"priority": "low"}}', None, id="a field further down does not count"),
        pytest.param(b'{"priority": null}', None, id="null"),
        pytest.param(b'{"priority": ""}', None, id="an empty text"),
        pytest.param(b'{"model": "m"}', None, id="no such field"),
        pytest.param(b'{"priority": 50.0}', UNUSABLE, id="a fraction"),
        pytest.param(b'{"priority": true}', UNUSABLE, id="a truth value"),
        pytest.param(b'{"priority": ["low"]}', UNUSABLE, id="a list"),
        pytest.param(b'{"priority": NaN}', None, id="no JSON"),
        pytest.param(b'{"priority": 1' + b"0" * 100 + b"}", 10**100, id="a number beyond every priority"),
        pytest.param(b'{"priority": 1' + b"0" * 5000 + b"}", UNUSABLE, id="a number of 5,000 digits"),
        pytest.param(b'{"priority": "' + b"x" * 65 + b'"}', UNUSABLE, id="a text of 65 characters"),
        pytest.param(b'{"priority": "' + b"x" * 1_000_000 + b'"}', UNUSABLE, id="a text of a million characters"),
        pytest.param(b'{"priority": "' + b"\\ud83d\\ude00" * 64 + b'"}', "\U0001f600" * 64, id="the longest spelling"),
        pytest.param(b'{"priority": "\xff"}', UNUSABLE, id="what is no UTF-8"),
        pytest.param(b'{"priority": "\\ud800"}', None, id="half a character, which is no JSON"),
        pytest.param(b'{"priority": ' + b"[" * 100_000, None, id="a body that is nested too deeply"),
        pytest.param(b'{"priority": "low"', None, id="a body that was cut short"),
        pytest.param(b"[]", None, id="a body that is no object"),
        pytest.param(b"", None, id="an empty body"),
    ],
)
def test_a_field_of_the_body_states_a_level(body: bytes, expected: str | int | None) -> None:
    assert BOTH.of(make_request(), state_with(body)) == expected


def test_the_header_counts_before_the_body() -> None:
    body = state_with(b'{"priority": "low"}')
    assert BOTH.of(request_with("high"), body) == "high"
    assert BOTH.of(request_with("high", "normal"), body) == UNUSABLE
    assert BOTH.of(request_with(""), body) == "low"


def test_what_is_not_configured_is_not_read() -> None:
    body = state_with(b'{"priority": "low"}')
    assert HEADER.of(make_request(), body) is None
    assert StatedLevel("", "priority").of(request_with("high"), body) == "low"
    assert StatedLevel("", "priority").of(request_with("high"), make_state()) is None


def test_some_place_must_be_configured() -> None:
    with pytest.raises(ValueError, match="header and body_field must not both be empty"):
        StatedLevel("", "")


def test_a_body_field_is_a_name_that_can_be_looked_for() -> None:
    with pytest.raises(ValueError, match="body_field must have no quotes, backslashes or control characters"):
        StatedLevel("", 'a"b')


@given(body=st.binary(max_size=200) | st.binary(max_size=50).map(lambda value: b'{"priority":' + value + b"}"))
def test_no_body_breaks_it(body: bytes) -> None:
    stated = BOTH.of(make_request(), state_with(body))
    assert stated is None or isinstance(stated, int) or len(stated) <= 64
