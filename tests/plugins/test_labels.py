import pytest
from hypothesis import given

from plugins.generated import endpoint_lists
from turnout.framework import Endpoint
from turnout.framework.testing import check_filter, make_endpoint, make_request, make_state
from turnout.plugins.labels import ByLabel, LabelRequirement, LabelSelectorFilter

POOL = [
    make_endpoint("decode-a", labels={"role": "decode", "zone": "a"}),
    make_endpoint("prefill-b", labels={"role": "prefill", "zone": "b"}),
    make_endpoint("both-b", labels={"role": "both", "zone": "b"}),
    make_endpoint("bare"),
]


@pytest.mark.parametrize(
    ("selector", "kept"),
    [
        pytest.param(LabelSelectorFilter(), ["decode-a", "prefill-b", "both-b", "bare"], id="no requirement keeps all"),
        pytest.param(LabelSelectorFilter({"role": "decode"}), ["decode-a"], id="an equal label"),
        pytest.param(LabelSelectorFilter({"role": "decode", "zone": "b"}), [], id="all labels must be equal"),
        pytest.param(
            LabelSelectorFilter(match_expressions=[LabelRequirement("role", "In", ["decode", "both"])]),
            ["decode-a", "both-b"],
            id="In needs the label",
        ),
        pytest.param(
            LabelSelectorFilter(match_expressions=[LabelRequirement("role", "NotIn", ["decode", "both"])]),
            ["prefill-b", "bare"],
            id="NotIn matches an absent label",
        ),
        pytest.param(
            LabelSelectorFilter(match_expressions=[LabelRequirement("role", "Exists")]),
            ["decode-a", "prefill-b", "both-b"],
            id="Exists",
        ),
        pytest.param(
            LabelSelectorFilter(match_expressions=[LabelRequirement("role", "DoesNotExist")]),
            ["bare"],
            id="DoesNotExist",
        ),
        pytest.param(
            LabelSelectorFilter(
                {"zone": "b"}, [LabelRequirement("role", "Exists"), LabelRequirement("role", "NotIn", ["both"])]
            ),
            ["prefill-b"],
            id="labels and expressions together",
        ),
    ],
)
def test_endpoints_that_meet_every_requirement_stay(selector: LabelSelectorFilter, kept: list[str]) -> None:
    names = [endpoint.name for endpoint in selector.filter(make_request(), make_state(), POOL)]
    assert names == [f"default/{name}" for name in kept]


@pytest.mark.parametrize(
    ("requirement", "message"),
    [
        pytest.param(
            LabelRequirement("", "Exists"), r"match_expressions\[0\].key must not be empty, got ''", id="no key"
        ),
        pytest.param(
            LabelRequirement("role", "In"),
            r"match_expressions\[0\].values must have at least one value with operator In, got \[\]",
            id="In without values",
        ),
        pytest.param(
            LabelRequirement("role", "NotIn"),
            r"match_expressions\[0\].values must have at least one value with operator NotIn, got \[\]",
            id="NotIn without values",
        ),
        pytest.param(
            LabelRequirement("role", "Exists", ["x"]),
            r"match_expressions\[0\].values must have no values with operator Exists, got \['x'\]",
            id="Exists with values",
        ),
        pytest.param(
            LabelRequirement("role", "DoesNotExist", ["x"]),
            r"match_expressions\[0\].values must have no values with operator DoesNotExist, got \['x'\]",
            id="DoesNotExist with values",
        ),
    ],
)
def test_a_requirement_that_makes_no_sense_is_refused(requirement: LabelRequirement, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LabelSelectorFilter(match_expressions=[requirement])


@given(endpoints=endpoint_lists())
def test_the_filter_keeps_its_contract(endpoints: list[Endpoint]) -> None:
    selector = LabelSelectorFilter({"zone": "decode"}, [LabelRequirement("role", "NotIn", ["prefill"])])
    check_filter(selector, make_request(), make_state(), endpoints)


@pytest.mark.parametrize(
    ("values", "allows_none", "kept"),
    [
        pytest.param(["a", "b"], False, ["a"], id="one of the values"),
        pytest.param(["a"], True, ["a", "none"], id="or none at all"),
        pytest.param([], False, [], id="no value is valid"),
    ],
)
def test_a_label_is_kept_by_its_value(values: list[str], allows_none: bool, kept: list[str]) -> None:
    endpoints = [make_endpoint("a", labels={"l": "a"}), make_endpoint("c", labels={"l": "c"}), make_endpoint("none")]
    found = ByLabel("l", values, allows_none).filter(make_request(), make_state(), endpoints)
    assert [endpoint.name.removeprefix("default/") for endpoint in found] == kept


def test_a_label_has_a_name() -> None:
    with pytest.raises(ValueError, match="label must not be empty, got ''"):
        ByLabel("")
