from collections.abc import Callable, Sequence

import pytest

from turnout.framework import InferenceRequest, Quantity
from turnout.framework.testing import make_endpoint
from turnout.plugins.gang.members import Constraint, GangShape, Member

PREFILL, DECODE = Member("prefill"), Member("decode")


def shape(members: Sequence[Member] = (PREFILL, DECODE), primary: str = "", *constraints: Constraint) -> GangShape:
    return GangShape(members, primary, constraints)


@pytest.mark.parametrize(
    ("member", "answers", "size"),
    [
        pytest.param(Member("m"), 5, 1, id="one"),
        pytest.param(Member("m", count=3), 5, 3, id="a count that is stated"),
        pytest.param(Member("m", count=0), 5, 5, id="as many as answers"),
        pytest.param(Member("m", count=0), 100, 8, id="but not more than eight"),
        pytest.param(Member("m", count=0, max_count=2), 100, 2, id="or what is stated"),
        pytest.param(Member("m", count=0), 0, 1, id="and one at least"),
    ],
)
def test_a_member_is_as_many_endpoints_as_it_says(member: Member, answers: int, size: int) -> None:
    assert member.size(InferenceRequest("r", answers=answers)) == size
    assert size <= member.most


def test_a_member_has_all_of_its_labels() -> None:
    member = Member("m", match_labels={"role": "decode", "tier": "1"})
    both = make_endpoint(labels={"role": "decode", "tier": "1", "zone": "a"})
    assert member.matches(both)
    assert not member.matches(make_endpoint(labels={"role": "decode"}))
    assert Member("m").matches(make_endpoint())


def test_the_last_member_gets_the_request_unless_another_is_named() -> None:
    assert shape().primary == "decode"
    assert shape(primary="prefill").primary == "prefill"


def test_a_constraint_is_about_the_members_that_it_names_or_all() -> None:
    three = shape((Member("encode"), PREFILL, DECODE))
    assert three.roles(Constraint(same=["rev"])) == (0, 1, 2)
    assert three.roles(Constraint(["decode", "encode"], same=["rev"])) == (0, 2)


def test_sizes_are_told_in_words() -> None:
    made = shape((Member("prefill", count=0), DECODE))
    sizes = made.sizes(InferenceRequest("r", answers=2))
    assert sizes == (2, 1)
    assert made.described(sizes) == "2 x prefill, decode"


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Member("a b"), "profile must have no spaces, commas or equals signs, got 'a b'"),
        (lambda: Member("a=b"), "profile must have no spaces, commas or equals signs, got 'a=b'"),
        (lambda: Member("a,b"), "profile must have no spaces, commas or equals signs, got 'a,b'"),
        (lambda: Member("a\n"), r"profile must have no spaces, commas or equals signs, got 'a\\n'"),
        (lambda: Member(""), "profile must have no spaces, commas or equals signs, got ''"),
        (lambda: Member("m", count=-1), "count must be at least 0, got -1"),
        (lambda: Member("m", max_count=0), "max_count must be at least 1, got 0"),
        (lambda: Constraint(), "a constraint must have at least one of same, same_node and min_bandwidth, got none"),
        (lambda: Constraint(same=["a", ""]), r"same must not have an empty label, got \['a', ''\]"),
        (lambda: Constraint(min_bandwidth=Quantity(-1)), "min_bandwidth must be at least 0, got -1"),
        (lambda: shape(()), "members must have at least one entry, got none"),
        (lambda: shape((DECODE, DECODE)), "members must each have a profile of their own, got decode, decode"),
        (lambda: shape((Member("m", count=65),)), "members must be at most 64 endpoints, got 65"),
        (
            lambda: shape((Member("m", count=0, max_count=64), DECODE)),
            "members must be at most 64 endpoints, got 65",
        ),
        (lambda: shape(primary="encode"), "primary must be the profile of a member, got 'encode'"),
        (
            lambda: shape((PREFILL, DECODE), "", Constraint(["decode", "encode"], same=["a"])),
            r"constraints\[0\].between must be profiles of members, got 'encode'",
        ),
        (
            lambda: shape((PREFILL, DECODE), "", Constraint(same_node=True), Constraint(["decode"], same=["a"])),
            r"constraints\[1\].between must be at least two endpoints, got decode",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(build: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_a_member_of_several_endpoints_may_have_constraints_within() -> None:
    made = shape((Member("sample", count=0),), "", Constraint(["sample"], same=["rev"]))
    assert made.roles(made.constraints[0]) == (0,)
