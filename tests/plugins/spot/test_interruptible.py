from collections.abc import Mapping

import pytest

from turnout.framework.testing import make_endpoint
from turnout.plugins.spot.interruptible import INSTANCE_TYPE_LABEL, MAX_REMEMBERED, Interruptible


@pytest.mark.parametrize(
    ("labels", "is_spot"),
    [
        pytest.param({"karpenter.sh/capacity-type": "spot"}, True, id="Karpenter"),
        pytest.param({"eks.amazonaws.com/capacityType": "SPOT"}, True, id="EKS"),
        pytest.param({"cloud.google.com/gke-spot": "true"}, True, id="GKE"),
        pytest.param({"kubernetes.azure.com/scalesetpriority": "spot"}, True, id="AKS"),
        pytest.param({"turnout/capacity-type": "spot"}, True, id="our own"),
        pytest.param({"karpenter.sh/capacity-type": "on-demand"}, False, id="on demand"),
        pytest.param({"tier": "spot"}, False, id="another label"),
        pytest.param({}, False, id="no label"),
    ],
)
def test_the_labels_of_the_providers_are_known(labels: Mapping[str, str], is_spot: bool) -> None:
    assert Interruptible(None, INSTANCE_TYPE_LABEL).is_spot(make_endpoint(labels=labels)) is is_spot


def test_other_labels_replace_the_known_ones() -> None:
    spot = Interruptible({"tier": "spot"}, "machine")
    assert spot.is_spot(make_endpoint(labels={"tier": "spot"}))
    assert not spot.is_spot(make_endpoint(labels={"cloud.google.com/gke-spot": "true"}))
    assert spot.instance_type(make_endpoint(labels={"machine": "g5"})) == "g5"
    assert spot.instance_type(make_endpoint()) == ""


def test_labels_that_say_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="spot_labels must have at least one label, got none"):
        Interruptible({}, "machine")
    with pytest.raises(ValueError, match="instance_type_label must not be empty"):
        Interruptible(None, "")


def test_what_is_remembered_of_labels_is_bounded_and_never_anothers() -> None:
    spot = Interruptible({"tier": "spot"}, "machine")
    for number in range(MAX_REMEMBERED + 10):
        is_spot = number % 2 == 0
        assert spot.is_spot(make_endpoint(labels={"tier": "spot" if is_spot else "other"})) is is_spot
    assert len(spot._known) == 10
