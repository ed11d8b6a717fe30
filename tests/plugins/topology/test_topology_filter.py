from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.generated import decided
from plugins.topology.drawn import candidates
from plugins.topology.known import KnownTopology
from turnout.framework import CounterReading, CycleState, Endpoint, Quantity
from turnout.framework.testing import check_filter, make_endpoint, make_request, make_state
from turnout.plugins.disagg.keys import PEER_ENDPOINT
from turnout.plugins.topology.keys import TOPOLOGY, Hardware, Place, Reach, Route
from turnout.plugins.topology.topology_filter import Mode, TopologyFilter, Unknown

PEER = make_endpoint("peer")
FAST = Hardware(Place(), "NVIDIA-H100-80GB-HBM3", 8, 80 * 2**30, (), 4.5e11, group_nvlink=True)
SLOW = Hardware(Place(), "NVIDIA-A100-PCIE-40GB", 2, 40 * 2**30, (), 3e10, group_nvlink=False)
NVLINK = Route(Reach.NVLINK, 3e11, 0.0, same_socket=True, measured=True)
NODE = Route(Reach.NODE, 3e10, 0.0, measured=True)
RACK = Route(Reach.RACK, 5e10, 0.0)


def of(hardware: Mapping[str, Hardware], ways: Mapping[str, Route], *, peer: Endpoint | None = PEER) -> CycleState:
    state = make_state()
    known = KnownTopology(
        {f"default/{name}": each for name, each in hardware.items()},
        {},
        {("default/peer", f"default/{name}"): each for name, each in ways.items()},
    )
    state.write(TOPOLOGY.of(""), known)
    if peer is not None:
        state.write(PEER_ENDPOINT.of(""), peer)
    return state


def kept(plugin: TopologyFilter, state: CycleState, names: Sequence[str]) -> list[str]:
    found = plugin.filter(make_request(), state, [make_endpoint(name) for name in names])
    return [endpoint.name.removeprefix("default/") for endpoint in found]


def counted(plugin: TopologyFilter) -> dict[str, float]:
    return {r.labels["rule"]: r.value for r in plugin.readings() if isinstance(r, CounterReading)}


# --- the rules -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        pytest.param({}, ["near", "node", "rack"], id="no rule"),
        pytest.param({"locality": "any"}, ["near", "node", "rack"], id="any"),
        pytest.param({"locality": "nvlink"}, ["near"], id="NVLink to the peer"),
        pytest.param({"locality": "same-socket"}, ["near"], id="the socket of the peer"),
        pytest.param({"locality": "same-node"}, ["near", "node"], id="the node of the peer"),
        pytest.param({"min_bandwidth": Quantity(4 * 10**10)}, ["near", "rack"], id="bandwidth to the peer"),
        pytest.param(
            {"locality": "same-node", "min_bandwidth": Quantity(4 * 10**10)}, ["near"], id="two rules of the way"
        ),
        pytest.param({"min_group_bandwidth": Quantity(10**11)}, ["near", "rack"], id="bandwidth of the group"),
        pytest.param({"group_nvlink": True}, ["near", "rack"], id="NVLink in the group"),
        pytest.param({"gpu_types": ["a100", "L40S"]}, ["node"], id="the type"),
        pytest.param({"min_gpus": 4}, ["near", "rack"], id="the count"),
        pytest.param({"min_gpu_memory": Quantity(48 * 2**30)}, ["near", "rack"], id="the memory"),
        pytest.param({"locality": "same-node", "gpu_types": ["A100"]}, ["node"], id="a rule of each kind"),
        pytest.param({"locality": "nvlink", "gpu_types": ["A100"]}, [], id="nobody meets both, and that is it"),
    ],
)
def test_who_breaks_a_strict_rule_is_not_kept(parameters: dict[str, Any], expected: list[str]) -> None:
    state = of({"near": FAST, "node": SLOW, "rack": FAST}, {"near": NVLINK, "node": NODE, "rack": RACK})
    assert kept(TopologyFilter(**parameters), state, ["near", "node", "rack"]) == expected


def test_without_a_peer_rules_of_the_way_say_nothing_and_others_still_do() -> None:
    state = of({"a": FAST, "b": SLOW}, {}, peer=None)
    plugin = TopologyFilter("nvlink", Quantity(10**12), unknown="excluded")
    assert kept(plugin, state, ["a", "b"]) == ["a", "b"]
    assert kept(TopologyFilter("nvlink", gpu_types=["H100"]), state, ["a", "b"]) == ["a"]


def test_the_peer_itself_is_as_near_as_can_be() -> None:
    plugin = TopologyFilter("nvlink", Quantity(10**15), unknown="excluded")
    assert kept(plugin, of({}, {"a": NVLINK}), ["a", "peer"]) == ["peer"]


def test_the_peer_and_the_topology_are_those_of_the_named_plugins() -> None:
    state = make_state()
    state.write(TOPOLOGY.of("agents"), KnownTopology(ways={("default/peer", "default/a"): NODE}))
    state.write(PEER_ENDPOINT.of("my-handler"), PEER)
    plugin = TopologyFilter("same-node", profile_handler_name="my-handler", topology_producer_name="agents")
    assert plugin.reads == (TOPOLOGY.of("agents"),)
    assert kept(plugin, state, ["a", "b"]) == ["a"]


# --- what is not known -----------------------------------------------------------------------------------

SOME_MEET = {"meets": FAST, "breaks": SLOW}
NONE_MEETS = {"breaks": SLOW}


@pytest.mark.parametrize(
    ("unknown", "mode", "known", "expected"),
    [
        pytest.param("worst", "strict", SOME_MEET, ["meets"], id="worst, strict, some meet it"),
        pytest.param("neutral", "strict", SOME_MEET, ["meets", "dark"], id="neutral, strict, some meet it"),
        pytest.param("excluded", "strict", SOME_MEET, ["meets"], id="excluded, strict, some meet it"),
        pytest.param("worst", "preferred", SOME_MEET, ["meets"], id="worst, preferred, some meet it"),
        pytest.param("neutral", "preferred", SOME_MEET, ["meets", "dark"], id="neutral, preferred, some meet it"),
        pytest.param("excluded", "preferred", SOME_MEET, ["meets"], id="excluded, preferred, some meet it"),
        pytest.param("worst", "strict", NONE_MEETS, ["dark"], id="worst, strict, none meets it"),
        pytest.param("neutral", "strict", NONE_MEETS, ["dark"], id="neutral, strict, none meets it"),
        pytest.param("excluded", "strict", NONE_MEETS, [], id="excluded, strict, none meets it"),
        pytest.param("worst", "preferred", NONE_MEETS, ["dark"], id="worst, preferred, none meets it"),
        pytest.param("neutral", "preferred", NONE_MEETS, ["dark"], id="neutral, preferred, none meets it"),
        pytest.param("excluded", "preferred", NONE_MEETS, ["breaks", "dark"], id="excluded, preferred, none meets it"),
    ],
)
def test_an_endpoint_that_nobody_knows_counts_as_configured(
    unknown: Unknown, mode: Mode, known: Mapping[str, Hardware], expected: list[str]
) -> None:
    plugin = TopologyFilter(gpu_types=["H100"], mode=mode, unknown=unknown)
    assert kept(plugin, of(known, {}), [*known, "dark"]) == expected
    # The same of the way to the peer.
    ways = {name: NVLINK if name == "meets" else RACK for name in known}
    plugin = TopologyFilter("same-node", mode=mode, unknown=unknown)
    assert kept(plugin, of({}, ways), [*known, "dark"]) == expected


@pytest.mark.parametrize(
    ("mode", "expected"),
    [pytest.param("strict", [], id="strict: nobody"), pytest.param("preferred", ["a", "b"], id="preferred: all")],
)
@pytest.mark.parametrize("unknown", ["worst", "neutral", "excluded"])
def test_where_all_are_known_to_break_a_rule(unknown: Unknown, mode: Mode, expected: list[str]) -> None:
    plugin = TopologyFilter(gpu_types=["B200"], mode=mode, unknown=unknown)
    assert kept(plugin, of({"a": FAST, "b": SLOW}, {}), ["a", "b"]) == expected


@pytest.mark.parametrize(
    ("unknown", "expected"),
    [
        pytest.param("worst", ["half"], id="worst: kept, for nobody is known to meet both"),
        pytest.param("neutral", ["half"], id="neutral: kept"),
        pytest.param("excluded", [], id="excluded: meeting one rule is not enough"),
    ],
)
def test_strict_rules_count_as_one(unknown: Unknown, expected: list[str]) -> None:
    half = Hardware(Place(), "NVIDIA-H100-80GB-HBM3")
    plugin = TopologyFilter(gpu_types=["H100"], min_gpus=4, unknown=unknown)
    assert kept(plugin, of({"half": half, "slow": SLOW}, {}), ["half", "slow"]) == expected


@pytest.mark.parametrize(
    ("unknown", "mode", "expected"),
    [
        pytest.param("worst", "strict", ["a", "b"], id="worst: there is nothing better"),
        pytest.param("neutral", "strict", ["a", "b"], id="neutral"),
        pytest.param("excluded", "strict", [], id="excluded: nobody is known to meet it"),
        pytest.param("excluded", "preferred", ["a", "b"], id="excluded, but a preference only"),
    ],
)
def test_without_any_topology_nobody_is_known(unknown: Unknown, mode: Mode, expected: list[str]) -> None:
    state = make_state()
    state.write(PEER_ENDPOINT.of(""), PEER)
    assert kept(TopologyFilter(gpu_types=["H100"], mode=mode, unknown=unknown), state, ["a", "b"]) == expected
    assert kept(TopologyFilter("same-node", mode=mode, unknown=unknown), state, ["a", "b"]) == expected


# --- preferences -----------------------------------------------------------------------------------------


def test_preferred_rules_narrow_one_after_the_other_and_those_that_nobody_meets_are_dropped() -> None:
    plugin = TopologyFilter("same-node", Quantity(10**12), gpu_types=["H100"], mode="preferred")
    state = of({"near": FAST, "node": SLOW, "rack": FAST}, {"near": NVLINK, "node": NODE, "rack": RACK})
    assert kept(plugin, state, ["near", "node", "rack"]) == ["near"]
    # The locality comes first: an H100 in the next rack is not looked at.
    assert kept(plugin, state, ["node", "rack"]) == ["node"]


def test_what_the_request_goes_without_is_counted_when_it_is_sent() -> None:
    plugin = TopologyFilter("same-node", Quantity(10**12), gpu_types=["H100"], min_gpus=2, mode="preferred")
    state = of({"near": FAST, "node": SLOW, "rack": FAST}, {"near": NVLINK, "node": NODE, "rack": RACK})
    (node,) = plugin.filter(make_request(), state, [make_endpoint("node"), make_endpoint("rack")])
    assert counted(plugin) == {"locality": 0, "bandwidth": 0, "gpu_type": 0, "gpu_count": 0}
    plugin.pre_request(make_request(), state, decided(PEER, ("prefill", node)))
    assert counted(plugin) == {"locality": 0, "bandwidth": 1, "gpu_type": 1, "gpu_count": 0}


def test_a_strict_filter_has_no_violations() -> None:
    plugin = TopologyFilter("nvlink")
    state = of({}, {"a": RACK})
    assert kept(plugin, state, ["a"]) == []
    plugin.pre_request(make_request(), state, decided(make_endpoint("a")))
    assert counted(plugin) == {}


# --- for all topologies ----------------------------------------------------------------------------------

RULES: Sequence[Mapping[str, Any]] = [
    {"locality": "same-node"},
    {"locality": "same-socket"},
    {"locality": "nvlink"},
    {"min_bandwidth": Quantity(10**9)},
    {"min_group_bandwidth": Quantity(10**9), "group_nvlink": True},
    {"gpu_types": ("H100", "A100"), "min_gpus": 2, "min_gpu_memory": Quantity(2**30)},
    {"locality": "same-node", "min_bandwidth": Quantity(10**9), "gpu_types": ("a100",)},
]


@given(case=candidates(), rules=st.sampled_from(RULES), unknown=st.sampled_from(["worst", "neutral", "excluded"]))
def test_the_filter_keeps_its_contract_and_a_preference_never_empties_a_profile(
    case: tuple[CycleState, Sequence[Endpoint]], rules: Mapping[str, Any], unknown: Unknown
) -> None:
    state, pool = case
    check_filter(TopologyFilter(**rules, unknown=unknown), make_request(), state, pool)
    assert check_filter(TopologyFilter(**rules, unknown=unknown, mode="preferred"), make_request(), state, pool)


@given(case=candidates())
def test_everybody_whom_a_strict_filter_keeps_is_known_to_meet_it_with_unknown_excluded(
    case: tuple[CycleState, Sequence[Endpoint]],
) -> None:
    state, pool = case
    plugin = TopologyFilter("same-node", Quantity(10**9), min_gpus=2, unknown="excluded")
    peer, topology = state.get(PEER_ENDPOINT.of("")), state.get(TOPOLOGY.of(""))
    for endpoint in plugin.filter(make_request(), state, pool):
        assert topology is not None
        hardware = topology.hardware(endpoint.name)
        assert hardware is not None
        assert hardware.gpu_count is not None
        assert hardware.gpu_count >= 2
        if peer is not None and peer.name != endpoint.name:
            route = topology.routes(peer.name)(endpoint.name)
            assert route is not None
            assert route.reach <= Reach.NODE
            assert route.bytes_per_second >= 1e9


@given(case=candidates(), unknown=st.sampled_from(["worst", "neutral"]))
def test_nobody_whom_a_strict_filter_keeps_is_known_to_break_it(
    case: tuple[CycleState, Sequence[Endpoint]], unknown: Unknown
) -> None:
    state, pool = case
    topology = state.get(TOPOLOGY.of(""))
    plugin = TopologyFilter(min_gpus=2, unknown=unknown)
    for endpoint in plugin.filter(make_request(), state, pool):
        hardware = None if topology is None else topology.hardware(endpoint.name)
        assert hardware is None or hardware.gpu_count is None or hardware.gpu_count >= 2


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        pytest.param({"min_gpus": -1}, "min_gpus must be at least 0, got -1", id="fewer than none"),
        pytest.param(
            {"gpu_types": ["H100", " "]}, r"gpu_types must have no empty name, got \['H100', ' '\]", id="blank"
        ),
    ],
)
def test_parameters_are_checked(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TopologyFilter(**wrong)
