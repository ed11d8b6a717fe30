"""The field's way to name the labels that say where endpoints are."""

from collections.abc import Sequence

from turnout.framework import CycleState, Endpoint, InferenceRequest, PluginName
from turnout.plugins.topology.places import PLACE_LABELS, PlaceLabels

DEFAULT_NAME = PluginName(PLACE_LABELS.default_producer)


class TopologyExtractor:
    """Publishes the names of the labels for ``topology-affinity-filter`` and ``topology-affinity-scorer``."""

    def __init__(
        self,
        hostname: str = "kubernetes.io/hostname",
        rack: str = "topology.kubernetes.io/rack",
        zone: str = "topology.kubernetes.io/zone",
        region: str = "topology.kubernetes.io/region",
        name: PluginName = DEFAULT_NAME,
    ) -> None:
        self._labels = PlaceLabels(hostname, rack, zone, region)
        self._key = PLACE_LABELS.of(name)
        self.writes = (self._key,)

    async def produce(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> None:
        """Publishes them."""
        state.write(self._key, self._labels)

    def endpoints_changed(self, endpoints: Sequence[Endpoint]) -> None:
        """Nothing: labels are read when endpoints are compared. Files list it as one that hears of endpoints."""
