import pytest

from plugins.topology.known import KnownTopology
from turnout.framework import Quantity
from turnout.framework.testing import make_endpoint
from turnout.plugins.gang.constraints import SAME_NODE, TiedEndpoints, Ties
from turnout.plugins.gang.members import Constraint, GangShape, Member
from turnout.plugins.topology.keys import Hardware, Place, Reach, Route, Topology

ENCODE, PREFILL, DECODE = range(3)
HOST = "kubernetes.io/hostname"
FAST = Constraint(["prefill", "decode"], min_bandwidth=Quantity(100))
POOL = [
    make_endpoint("a", labels={HOST: "n1", "rev": "1"}),
    make_endpoint("b", labels={HOST: "n2", "rev": ""}),
    make_endpoint("c", labels={}),
]
TOPOLOGY = KnownTopology(
    hardware_of={"default/c": Hardware(Place(host="n1")), "default/b": Hardware(Place(rack="r1"))},
    ways={
        ("default/a", "default/b"): Route(Reach.NODE, 100.0, 0.0),
        ("default/a", "default/c"): Route(Reach.NODE, 99.0, 0.0),
    },
)


def ties(*constraints: Constraint) -> Ties:
    return Ties(GangShape([Member("encode"), Member("prefill"), Member("decode")], "", constraints))


def among(tied: Ties, topology: Topology | None = TOPOLOGY, *, trusting: bool = False) -> TiedEndpoints:
    return tied.among(POOL, topology, trusting=trusting)


def test_constraints_between_the_same_members_add_up() -> None:
    tied = ties(Constraint(same=["rev"]), Constraint(["prefill", "decode"], same=["rev", "lot"], same_node=True), FAST)
    assert tied.facets(ENCODE, DECODE) == ("rev",)
    assert tied.facets(PREFILL, DECODE) == tied.facets(DECODE, PREFILL) == ("rev", "lot", SAME_NODE)
    assert [tied.bandwidth(PREFILL, DECODE), tied.bandwidth(ENCODE, DECODE)] == [100, 0]
    assert (tied.needs_bandwidth, tied.needs_host) == (True, True)
    assert (ties().needs_bandwidth, ties().needs_host) == (False, False)


@pytest.mark.parametrize(
    ("name", "facet", "key"),
    [
        pytest.param("a", "rev", ("1",), id="the value of a label"),
        pytest.param("b", "rev", None, id="an empty label is none"),
        pytest.param("c", "rev", None, id="nor is one that is not there"),
        pytest.param("a", SAME_NODE, ("n1",), id="a host by its label"),
        pytest.param("c", SAME_NODE, ("n1",), id="a host by the topology"),
        pytest.param("b", SAME_NODE, ("n2",), id="a host that the topology does not know"),
    ],
)
def test_what_endpoints_share_is_told_by_values(name: str, facet: str, key: tuple[str, ...] | None) -> None:
    assert among(ties()).key(f"default/{name}", (facet,)) == key


def test_one_value_that_is_missing_is_enough_and_none_is_asked_for_without_facets() -> None:
    assert among(ties()).key("default/a", ("rev", SAME_NODE)) == ("1", "n1")
    assert among(ties()).key("default/a", ("rev", "lot")) is None
    assert among(ties()).key("default/c", ()) == ()


@pytest.mark.parametrize(
    ("one", "other", "enough"),
    [
        pytest.param("a", "b", True, id="just fast enough"),
        pytest.param("b", "a", True, id="the same both ways"),
        pytest.param("a", "c", False, id="too slow"),
        pytest.param("b", "c", False, id="nothing is known"),
    ],
)
def test_the_way_between_two_has_its_least_bandwidth(one: str, other: str, enough: bool) -> None:
    tied = among(ties(FAST))
    assert tied.joined(PREFILL, f"default/{one}", DECODE, f"default/{other}") == enough
    assert tied.joined(PREFILL, f"default/{one}", ENCODE, f"default/{other}")


def test_without_a_topology_bandwidth_is_believed_or_not() -> None:
    assert among(ties(FAST), None, trusting=True).joined(PREFILL, "default/b", DECODE, "default/c")
    assert not among(ties(FAST), None).joined(PREFILL, "default/a", DECODE, "default/b")
    assert not among(ties(FAST), trusting=True).joined(PREFILL, "default/b", DECODE, "default/c")
    assert among(ties(), None).key("default/c", (SAME_NODE,)) is None


ZONE = "topology.kubernetes.io/zone"


@pytest.mark.parametrize(
    ("labels", "topology", "one_host"),
    [
        pytest.param([{}, {}], None, True, id="nothing else is known"),
        pytest.param([{ZONE: "a"}, {}], None, True, id="the zone of one"),
        pytest.param([{ZONE: "a"}, {ZONE: "b"}], None, False, id="hosts of one name in two zones"),
        pytest.param([{ZONE: "a"}, {ZONE: "b"}], KnownTopology(), False, id="a topology that knows neither"),
        pytest.param(
            [{ZONE: "a"}, {ZONE: "b"}],
            KnownTopology(ways={("default/a", "default/b"): Route(Reach.NVLINK, 1.0, 0.0)}),
            True,
            id="a topology that knows better",
        ),
        pytest.param(
            [{}, {}],
            KnownTopology(ways={("default/a", "default/b"): Route(Reach.RACK, 1.0, 0.0)}),
            False,
            id="two hosts by the topology",
        ),
    ],
)
def test_hosts_of_one_name_are_one_unless_something_wider_differs(
    labels: list[dict[str, str]], topology: KnownTopology | None, one_host: bool
) -> None:
    pool = [make_endpoint(name, labels={HOST: "n1", **more}) for name, more in zip("ab", labels, strict=True)]
    tied = ties(Constraint(["prefill", "decode"], same_node=True)).among(pool, topology, trusting=True)
    assert tied.joined(PREFILL, "default/a", DECODE, "default/b") == one_host
    assert tied.joined(ENCODE, "default/a", DECODE, "default/b")
