"""The place of an endpoint by its labels: host, rack, zone and region."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from turnout.framework import Endpoint, KeyFamily
from turnout.plugins.topology.keys import Place, Reach

Level: TypeAlias = Literal["host", "rack", "zone", "region"]
LEVELS: Sequence[Level] = ("host", "rack", "zone", "region")
"""From the nearest to the farthest."""


@dataclass(frozen=True, slots=True)
class PlaceLabels:
    """The labels that say where an endpoint is; Kubernetes gives nodes those of the defaults."""

    host: str = "kubernetes.io/hostname"
    rack: str = "topology.kubernetes.io/rack"
    zone: str = "topology.kubernetes.io/zone"
    region: str = "topology.kubernetes.io/region"

    def shared(self, one: Endpoint, other: Endpoint) -> int | None:
        """The nearest level that both are known to share, as its place in ``LEVELS``; None if there is none."""
        for place, label in enumerate((self.host, self.rack, self.zone, self.region)):
            value = one.labels.get(label)
            if value and value == other.labels.get(label):
                return place
        return None

    def place(self, labels: Mapping[str, str]) -> Place:
        """What the labels say."""
        found = (labels.get(label, "") for label in (self.host, self.rack, self.zone, self.region))
        return Place(*found)


PLACE_LABELS: KeyFamily[PlaceLabels] = KeyFamily("place-labels", "topology-extractor")
"""Which labels say where endpoints are, by the plugin that a file names them in."""


def reach_between(one: Place, other: Place) -> Reach | None:
    """What two places share: the nearest level of the same name, unless a wider one is known to differ.

    Racks of two zones may have one name, and so may hosts. None if one of the two is unknown altogether.
    """
    if not (is_known(one) and is_known(other)):
        return None
    reach = Reach.APART
    for level, mine, its in reversed([*zip(_REACHES, _levels(one), _levels(other), strict=True)]):
        if mine and its and mine != its:
            return reach
        if mine and mine == its:
            reach = level
    return reach


def is_known(place: Place) -> bool:
    """Whether anything is known of it."""
    return any(_levels(place))


_REACHES = (Reach.NODE, Reach.RACK, Reach.ZONE, Reach.REGION)


def _levels(place: Place) -> tuple[str, str, str, str]:
    return place.host, place.rack, place.zone, place.region
