import pytest

from turnout.framework.testing import make_endpoint
from turnout.plugins.topology.keys import Place, Reach
from turnout.plugins.topology.places import LEVELS, PlaceLabels, is_known, reach_between

HERE = {
    "kubernetes.io/hostname": "h1",
    "topology.kubernetes.io/rack": "r1",
    "topology.kubernetes.io/zone": "z1",
    "topology.kubernetes.io/region": "eu",
}


@pytest.mark.parametrize(
    ("changes", "level"),
    [
        pytest.param({}, "host", id="the same host"),
        pytest.param({"kubernetes.io/hostname": "h2"}, "rack", id="another host"),
        pytest.param({"kubernetes.io/hostname": "h2", "topology.kubernetes.io/rack": "r2"}, "zone", id="another rack"),
        pytest.param({"kubernetes.io/hostname": "", "topology.kubernetes.io/rack": ""}, "zone", id="not known"),
        pytest.param(dict.fromkeys(HERE, "x"), None, id="nothing in common"),
    ],
)
def test_the_nearest_level_that_two_endpoints_share_is_found(changes: dict[str, str], level: str | None) -> None:
    one, other = make_endpoint("a", labels=HERE), make_endpoint("b", labels={**HERE, **changes})
    found = PlaceLabels().shared(one, other)
    assert (None if found is None else LEVELS[found]) == level


def test_endpoints_without_labels_share_nothing() -> None:
    assert PlaceLabels().shared(make_endpoint("a"), make_endpoint("b")) is None


@pytest.mark.parametrize(
    ("one", "other", "reach"),
    [
        pytest.param(Place("h", "r", "z", "eu"), Place("h", "r", "z", "eu"), Reach.NODE, id="all the same"),
        pytest.param(Place("h", "r", "z", "eu"), Place("i", "r", "z", "eu"), Reach.RACK, id="another host"),
        pytest.param(Place("h", "r", "z", "eu"), Place("i", "s", "z", "eu"), Reach.ZONE, id="another rack"),
        pytest.param(Place("h", "r", "z", "eu"), Place("i", "s", "y", "eu"), Reach.REGION, id="another zone"),
        pytest.param(Place("h", "r", "z", "eu"), Place("i", "s", "y", "us"), Reach.APART, id="another region"),
        pytest.param(Place("h", "r", "z"), Place("h", "r", "y"), Reach.APART, id="hosts of one name in two zones"),
        pytest.param(Place("h", zone="z"), Place("h"), Reach.NODE, id="what one does not say is no difference"),
        pytest.param(Place("h"), Place(zone="z"), Reach.APART, id="nothing to compare"),
        pytest.param(Place("h"), Place(), None, id="one is nowhere"),
    ],
)
def test_what_two_places_share_is_found(one: Place, other: Place, reach: Reach | None) -> None:
    assert reach_between(one, other) is reach_between(other, one) is reach
    assert is_known(other) == (other != Place())


def test_labels_make_a_place() -> None:
    assert PlaceLabels(host="node").place({**HERE, "node": "n"}) == Place("n", "r1", "z1", "eu")
