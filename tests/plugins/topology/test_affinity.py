from typing import Any

import pytest
from hypothesis import given

from plugins.generated import endpoint_lists
from turnout.framework import CycleState, Endpoint
from turnout.framework.testing import check_filter, check_scorer, make_endpoint, make_request, make_state
from turnout.plugins.disagg.keys import PEER_ENDPOINT
from turnout.plugins.topology.affinity import TopologyAffinityFilter, TopologyAffinityScorer
from turnout.plugins.topology.places import PLACE_LABELS, Level, PlaceLabels

HOST, RACK, ZONE, REGION = (
    "kubernetes.io/hostname",
    "topology.kubernetes.io/rack",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
)


def at(name: str, *place: str) -> Endpoint:
    return make_endpoint(name, labels=dict(zip((REGION, ZONE, RACK, HOST), place, strict=False)))


PEER = at("peer", "eu", "z1", "r1", "h1")
POOL = [at("host", "eu", "z1", "r1", "h1"), at("rack", "eu", "z1", "r1", "h2"), at("zone", "eu", "z1"), at("far", "us")]


def with_peer() -> CycleState:
    state = make_state()
    state.write(PEER_ENDPOINT.of(""), PEER)
    return state


def test_the_nearer_to_the_peer_the_better() -> None:
    scores = TopologyAffinityScorer().score(make_request(), with_peer(), [*POOL, at("region", "eu")])
    assert scores == [1.0, 0.2, 0.05, 0.0, 0.02]
    assert TopologyAffinityScorer().score(make_request(), make_state(), POOL) == [0.0] * 4


@pytest.mark.parametrize(
    ("level", "pool", "kept"),
    [
        pytest.param("host", POOL, ["host"], id="the same host"),
        pytest.param("zone", POOL, ["host", "rack", "zone"], id="the same zone or nearer"),
        pytest.param("rack", POOL[2:], ["zone", "far"], id="nobody is near enough: all"),
    ],
)
def test_those_near_enough_are_kept(level: Level, pool: list[Endpoint], kept: list[str]) -> None:
    found = TopologyAffinityFilter(level).filter(make_request(), with_peer(), pool)
    assert [endpoint.name.removeprefix("default/") for endpoint in found] == kept
    assert TopologyAffinityFilter(level).filter(make_request(), make_state(), pool) == pool


@given(endpoints=endpoint_lists())
def test_both_keep_their_contracts(endpoints: list[Endpoint]) -> None:
    state = make_state()
    state.write(PEER_ENDPOINT.of(""), endpoints[0])
    check_filter(TopologyAffinityFilter(), make_request(), state, endpoints)
    check_scorer(TopologyAffinityScorer(), make_request(), state, endpoints)


ROOMS = [make_endpoint("same", labels={"room": "7"}), make_endpoint("other", labels={"room": "8"})]


def with_peer_in_room_7(**published: str) -> CycleState:
    """The state with places published by plugins of these names, each by a label for hosts."""
    state = make_state()
    state.write(PEER_ENDPOINT.of(""), make_endpoint("peer", labels={"room": "7"}))
    for name, label in published.items():
        state.write(PLACE_LABELS.of(name.replace("_", "-")), PlaceLabels(host=label))
    return state


@pytest.mark.parametrize(
    ("parameters", "published", "knows_rooms"),
    [
        pytest.param({}, {"topology_extractor": "room"}, True, id="those of the topology-extractor"),
        pytest.param({}, {"mine": "room"}, False, id="not those of one of another name"),
        pytest.param({}, {}, False, id="those of Kubernetes without any"),
        pytest.param({}, {"topology_producer": "room"}, True, id="those of topology-producer"),
        pytest.param(
            {},
            {"topology_producer": "x", "topology_extractor": "room"},
            True,
            id="first the extractor's",
        ),
        pytest.param({"topology_producer_name": "mine"}, {"mine": "room"}, True, id="those of the one that is named"),
        pytest.param(
            {"topology_producer_name": "topology-producer"},
            {"topology_producer": "room"},
            True,
            id="of topology-producer",
        ),
        pytest.param({"topology_producer_name": "nobody"}, {"topology_extractor": "room"}, False, id="nobody's"),
        pytest.param({"labels": PlaceLabels("room")}, {"topology_extractor": "x"}, True, id="stated ones come first"),
    ],
)
def test_places_are_what_these_labels_say(
    parameters: dict[str, Any], published: dict[str, str], knows_rooms: bool
) -> None:
    state = with_peer_in_room_7(**published)
    assert TopologyAffinityScorer(**parameters).score(make_request(), state, ROOMS) == [float(knows_rooms), 0.0]
    kept = TopologyAffinityFilter(**parameters).filter(make_request(), state, ROOMS)
    assert kept == (ROOMS[:1] if knows_rooms else ROOMS)


@pytest.mark.parametrize("plugin", [TopologyAffinityFilter, TopologyAffinityScorer])
def test_labels_and_somebody_else_who_names_them_exclude_each_other(plugin: Any) -> None:
    with pytest.raises(ValueError, match="labels must not be given beside topology_producer_name, which is 'mine'"):
        plugin(labels=PlaceLabels(), topology_producer_name="mine")
