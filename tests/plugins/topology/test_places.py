import pytest

from turnout.framework.testing import make_endpoint
from turnout.plugins.topology.places import LEVELS, PlaceLabels

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
