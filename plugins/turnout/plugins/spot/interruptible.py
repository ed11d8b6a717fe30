"""Which endpoints are interruptible, by their labels."""

from collections.abc import Mapping
from types import MappingProxyType

from turnout.framework import Endpoint

SPOT_LABELS: Mapping[str, str] = MappingProxyType(
    {
        "karpenter.sh/capacity-type": "spot",
        "eks.amazonaws.com/capacityType": "SPOT",
        "cloud.google.com/gke-spot": "true",
        "cloud.google.com/gke-preemptible": "true",
        "kubernetes.azure.com/scalesetpriority": "spot",
        "turnout/capacity-type": "spot",
    }
)
"""The labels of the common providers, and one of our own."""

INSTANCE_TYPE_LABEL = "node.kubernetes.io/instance-type"


MAX_REMEMBERED = 20_000


class Interruptible:
    """Knows spot endpoints by ``spot_labels``: one that has any of these labels with its value is one.

    An endpoint's labels are looked at once, as long as they are the same object.
    """

    def __init__(self, spot_labels: Mapping[str, str] | None, instance_type_label: str) -> None:
        if spot_labels is not None and not spot_labels:
            raise ValueError("spot_labels must have at least one label, got none")
        if not instance_type_label:
            raise ValueError(f"instance_type_label must not be empty, got {instance_type_label!r}")
        self._labels = tuple((SPOT_LABELS if spot_labels is None else spot_labels).items())
        self._type_label = instance_type_label
        # By the identity of the labels, which are kept so that no others can have it.
        self._known: dict[int, tuple[Mapping[str, str], bool]] = {}

    def is_spot(self, endpoint: Endpoint) -> bool:
        """Whether the endpoint may be taken away."""
        labels = endpoint.labels
        known = self._known.get(id(labels))
        if known is None:
            if len(self._known) >= MAX_REMEMBERED:
                self._known.clear()
            is_spot = any(labels.get(name) == value for name, value in self._labels)
            known = self._known[id(labels)] = (labels, is_spot)
        return known[1]

    def instance_type(self, endpoint: Endpoint) -> str:
        """The kind of machine; empty where the endpoint does not say."""
        return endpoint.labels.get(self._type_label, "")
