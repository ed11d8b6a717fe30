from plugins.topology.known import KnownTopology
from turnout.framework.testing import make_endpoint
from turnout.plugins.topology.candidates import HERE, hardware_of, routes_to
from turnout.plugins.topology.keys import Hardware, Place, Reach, Route

A, B, C = make_endpoint("a"), make_endpoint("b"), make_endpoint("c")
RACK = Route(Reach.RACK, 1e9, 0.0)
H100 = Hardware(Place(), "H100")


def test_ways_are_in_the_order_of_the_candidates_and_the_peer_is_where_it_is() -> None:
    topology = KnownTopology(ways={("default/a", "default/b"): RACK})
    assert routes_to(A, topology, [C, B, A]) == [None, RACK, HERE]
    assert routes_to(A, None, [B, A]) == [None, HERE]


def test_nothing_has_to_be_moved_to_where_it_is() -> None:
    assert HERE.seconds(1e12) == 0.0


def test_hardware_is_in_the_order_of_the_candidates() -> None:
    assert hardware_of(KnownTopology({"default/b": H100}), [A, B]) == [None, H100]
    assert hardware_of(None, [A, B]) == [None, None]
