import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.framework import Headers
from turnout.plugins.affinity.terms import MalformedTermsError, WantedTerms, holds, parse_terms


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        pytest.param([], {}, id="no header"),
        pytest.param([""], {}, id="an empty header"),
        pytest.param(["shard=7"], {"shard": {"7"}}, id="one term"),
        pytest.param([" shard = 7 ,, job=a;"], {"shard": {"7"}, "job": {"a"}}, id="space and empty terms"),
        pytest.param(["shard=7,shard=8"], {"shard": {"7", "8"}}, id="two values of one label"),
        pytest.param(["shard=7", "job=a"], {"shard": {"7"}, "job": {"a"}}, id="two headers"),
        pytest.param(["a=b=c"], {"a": {"b=c"}}, id="an equals sign in the value"),
    ],
)
def test_terms_are_read(texts: list[str], expected: dict[str, set[str]]) -> None:
    assert parse_terms(texts) == expected


@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        pytest.param(["shard"], "label=value", id="no value"),
        pytest.param(["=7"], "label=value", id="no label"),
        pytest.param(["shard=7, job="], "label=value", id="an empty value"),
        pytest.param([",".join(f"a{i}=1" for i in range(17))], "at most 16 terms, got 17", id="too many terms"),
        pytest.param(["a=" + "x" * 1_023], "at most 1024 characters", id="too long"),
        pytest.param(["a=1"] * 400, "at most 1024 characters", id="too many headers"),
    ],
)
def test_what_cannot_be_read_is_refused(texts: list[str], problem: str) -> None:
    with pytest.raises(MalformedTermsError, match=problem):
        parse_terms(texts)


@pytest.mark.parametrize(
    ("label", "wanted", "expected"),
    [
        pytest.param("7", {"7"}, True, id="the value"),
        pytest.param("7", {"70"}, False, id="another value"),
        pytest.param("6, 7;8", {"7"}, True, id="one of a list"),
        pytest.param("6,7", {"6,7"}, True, id="the whole list"),
        pytest.param("7", {"1", "7"}, True, id="one of several wanted"),
        pytest.param("anything", {"*"}, True, id="any value"),
        pytest.param(None, {"*"}, False, id="any value, and no label"),
        pytest.param(None, {""}, False, id="no label"),
    ],
)
def test_a_label_holds_what_is_wanted(label: str | None, wanted: set[str], *, expected: bool) -> None:
    assert holds({} if label is None else {"shard": label}, "shard", frozenset(wanted)) is expected


def test_clients_may_name_only_the_labels_that_are_allowed() -> None:
    wanted = WantedTerms("x-near", [], ["shard"])
    assert wanted.of(Headers([("x-near", "shard=7, tier=spot")])) == {"shard": {"7"}}


def test_a_client_does_not_loosen_what_holds_for_every_request() -> None:
    wanted = WantedTerms("X-Near ", ["tier=prod"], [])
    assert wanted.of(Headers([("x-near", "tier=test, shard=1")])) == {"tier": {"prod"}, "shard": {"1"}}


def test_of_an_unreadable_header_what_holds_for_every_request_is_left() -> None:
    assert WantedTerms("x-near", ["tier=prod"], []).readable(Headers([("x-near", "?")])) == {"tier": {"prod"}}


@given(texts=st.lists(st.text(max_size=40), max_size=4))
def test_any_header_is_read_or_refused(texts: list[str]) -> None:
    try:
        terms = parse_terms(texts)
    except MalformedTermsError:
        return
    assert sum(map(len, terms.values())) <= 16
    assert all(label and values and all(values) for label, values in terms.items())
