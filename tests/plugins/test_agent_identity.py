from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.framework import Headers
from turnout.framework.testing import check_signatures, make_request, make_state
from turnout.plugins.agent_identity import AgentIdentity

ALL = {
    "x-own": "5",
    "session_id": "4",
    "session-id": "3",
    "x-session-affinity": "2",
    "x-claude-code-session-id": "1",
}


def without(*names: str) -> dict[str, str]:
    return {name: value for name, value in ALL.items() if name not in names}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param({}, None, id="no header"),
        pytest.param(ALL, "1", id="the first of all"),
        pytest.param(without("x-claude-code-session-id"), "2", id="the second"),
        pytest.param(without("x-claude-code-session-id", "x-session-affinity"), "3", id="the third"),
        pytest.param({"session_id": "4", "x-own": "5"}, "4", id="the fourth"),
        pytest.param({"x-own": "5", "x-other": "6"}, "5", id="one of our own, after those that are built in"),
        pytest.param({"X-Other": "6"}, "6", id="another of our own"),
        pytest.param(ALL | {"x-claude-code-session-id": " "}, "2", id="an empty one does not count"),
        pytest.param(ALL | {"x-claude-code-session-id": "x" * 257}, "2", id="nor does one that is too long"),
        pytest.param({"session-id": "x" * 256}, "x" * 256, id="256 characters"),
        pytest.param({"session-id": "\udcff"}, "\udcff", id="not UTF-8"),
    ],
)
def test_the_first_session_header_is_the_fairness_id(headers: dict[str, str], expected: str | None) -> None:
    plugin = AgentIdentity(["X-Own", " x-other "])
    check_signatures(plugin)
    assert plugin.classify(make_request(headers=headers), make_state()).fairness_id == expected


def test_a_fairness_id_that_was_sent_stays() -> None:
    request = make_request(headers=ALL, fairness_id="tenant")
    assert AgentIdentity().classify(request, make_state()).fairness_id is None


def test_a_header_that_comes_twice_counts_by_its_first_value() -> None:
    request = replace(make_request(), headers=Headers([("session-id", "a"), ("session-id", "b")]))
    assert AgentIdentity().classify(request, make_state()).fairness_id == "a"


@pytest.mark.parametrize("name", ["", "  "])
def test_additional_headers_have_names(name: str) -> None:
    with pytest.raises(ValueError, match="additional_session_headers must be names of headers, got"):
        AgentIdentity(["x-own", name])


@given(value=st.text(max_size=600))
def test_any_value_gives_a_fairness_id_of_bounded_length_or_none(value: str) -> None:
    found = AgentIdentity().classify(make_request(headers={"session-id": value}), make_state()).fairness_id
    assert found is None or 0 < len(found) <= 256
