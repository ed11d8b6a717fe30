import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.generated import endpoint_lists
from turnout.framework import Classification, Endpoint, Refusal, RefusalKind
from turnout.framework.testing import check_filter, make_endpoint, make_request, make_state
from turnout.plugins.affinity.filters import AffinityFilter, AntiAffinityFilter

POOL = [
    make_endpoint("a", labels={"shard": "7", "job": "train-3"}),
    make_endpoint("b", labels={"shard": "6,7"}),
    make_endpoint("c", labels={"shard": "8"}),
    make_endpoint("d"),
]


def kept(plugin: AffinityFilter, header: str) -> str:
    request = make_request(headers={plugin._wanted.header: header})
    return "".join(one.name[-1] for one in check_filter(plugin, request, make_state(), POOL))


@pytest.mark.parametrize(
    ("header", "near", "away"),
    [
        pytest.param("shard=7", "ab", "cd", id="one term"),
        pytest.param("shard=7, job=train-3", "a", "cd", id="all of them, or any of them"),
        pytest.param("shard=7, shard=8", "abc", "d", id="one value of several"),
        pytest.param("shard=*", "abc", "d", id="any value"),
        pytest.param("shard=9", "", "abcd", id="nobody has it"),
        pytest.param("", "abcd", "abcd", id="no need"),
    ],
)
def test_needs_are_met_strictly(header: str, near: str, away: str) -> None:
    assert (kept(AffinityFilter(), header), kept(AntiAffinityFilter(), header)) == (near, away)


@pytest.mark.parametrize("plugin", [AffinityFilter(), AntiAffinityFilter()])
def test_a_need_that_cannot_be_read_is_refused_before_it_waits(plugin: AffinityFilter) -> None:
    refusal = plugin.classify(make_request(headers={plugin._wanted.header: "shard"}), make_state())
    assert isinstance(refusal, Refusal)
    assert refusal.kind is RefusalKind.BAD_REQUEST
    assert (
        refusal.message == f"header {plugin._wanted.header} must be terms of the form label=value, separated by commas"
    )
    assert plugin.classify(make_request(), make_state()) == Classification()


@given(endpoints=endpoint_lists(), header=st.text(st.sampled_from("role=zone,;*prefill decode"), max_size=40))
def test_the_filters_keep_their_contract(endpoints: list[Endpoint], header: str) -> None:
    for plugin in (AffinityFilter(terms=["role=decode"]), AntiAffinityFilter(terms=["role=decode"])):
        check_filter(plugin, make_request(headers={plugin._wanted.header: header}), make_state(), endpoints)
