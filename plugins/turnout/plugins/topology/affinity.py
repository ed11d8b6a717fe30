"""Prefer endpoints near the one that another stage of the request was given to."""

from collections.abc import Sequence

from turnout.framework import CycleState, Endpoint, InferenceRequest, Scores
from turnout.plugins.disagg.keys import PEER_ENDPOINT
from turnout.plugins.topology.keys import DEFAULT_PRODUCER
from turnout.plugins.topology.places import LEVELS, PLACE_LABELS, Level, PlaceLabels

DEFAULT_LABELS = PlaceLabels()

CLOSENESS = (1.0, 0.2, 0.05, 0.02)
"""The field's scores for the levels, nearest first: about how much faster a KV cache travels."""


class TopologyAffinityFilter:
    """Keeps endpoints that share ``min_affinity``, or something nearer, with the peer that was picked before.

    Without a peer, or with nobody near enough, all are kept. The peer is that of ``profile_handler_name``; empty means
    ``disagg-profile-handler``. Places are what ``labels`` name, or else the labels of the plugin
    ``topology_producer_name``; empty means ``topology-extractor``, or else ``topology-producer``. Without such a plugin
    they are those that Kubernetes gives nodes.

    Raises:
        ValueError: both ``labels`` and ``topology_producer_name`` are given.
    """

    def __init__(
        self,
        min_affinity: Level = "host",
        labels: PlaceLabels | None = None,
        profile_handler_name: str = "",
        topology_producer_name: str = "",
    ) -> None:
        self._farthest = LEVELS.index(min_affinity)
        self._peer = _Peer(labels, profile_handler_name, topology_producer_name)
        self.optional_reads = self._peer.optional_reads

    def filter(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        shared = self._peer.shared(state, endpoints)
        near = [
            endpoint
            for endpoint, level in zip(endpoints, shared, strict=True)
            if level is not None and level <= self._farthest
        ]
        return near or endpoints


class TopologyAffinityScorer:
    """Scores how near an endpoint is to the peer that was picked before.

    1 on the same host, 0.2 in the same rack, 0.05 in the same zone, 0.02 in the same region, else 0; without a peer 0
    for all. Parameters are those of ``topology-affinity-filter``.

    Raises:
        ValueError: both ``labels`` and ``topology_producer_name`` are given.
    """

    def __init__(
        self,
        labels: PlaceLabels | None = None,
        profile_handler_name: str = "",
        topology_producer_name: str = "",
    ) -> None:
        self._peer = _Peer(labels, profile_handler_name, topology_producer_name)
        self.optional_reads = self._peer.optional_reads

    def score(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Scores:
        return [0.0 if level is None else CLOSENESS[level] for level in self._peer.shared(state, endpoints)]


class _Peer:
    """The endpoint that was picked before, and which labels say where it is."""

    def __init__(self, labels: PlaceLabels | None, profile_handler_name: str, topology_producer_name: str) -> None:
        if labels is not None and topology_producer_name:
            raise ValueError(
                f"labels must not be given beside topology_producer_name, which is {topology_producer_name!r}"
            )
        self._labels = labels
        names = (
            (topology_producer_name,) if topology_producer_name else (PLACE_LABELS.default_producer, DEFAULT_PRODUCER)
        )
        self._key = PEER_ENDPOINT.of(profile_handler_name)
        self.optional_reads = () if labels is not None else tuple(PLACE_LABELS.of(name) for name in names)

    def shared(self, state: CycleState, endpoints: Sequence[Endpoint]) -> Sequence[int | None]:
        """For each endpoint the nearest level that it shares with the peer, as its place in ``LEVELS``, or None."""
        peer = state.get(self._key)
        if peer is None:
            return [None] * len(endpoints)
        published = (state.get(key) for key in self.optional_reads)
        labels = self._labels or next(filter(None, published), DEFAULT_LABELS)
        return [labels.shared(endpoint, peer) for endpoint in endpoints]
