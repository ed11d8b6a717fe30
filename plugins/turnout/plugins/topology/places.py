"""The place of an endpoint by its labels: host, rack, zone and region."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from turnout.framework import Endpoint

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
