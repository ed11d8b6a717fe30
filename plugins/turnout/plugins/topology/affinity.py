"""Prefer endpoints near the one that another stage of the request was given to."""

from collections.abc import Sequence

from turnout.framework import CycleState, Endpoint, InferenceRequest, Scores
from turnout.plugins.disagg.keys import PEER_ENDPOINT
from turnout.plugins.topology.places import LEVELS, Level, PlaceLabels

DEFAULT_LABELS = PlaceLabels()

CLOSENESS = (1.0, 0.2, 0.05, 0.02)
"""The field's scores for the levels, nearest first: about how much faster a KV cache travels."""


class TopologyAffinityFilter:
    """Keeps endpoints that share ``min_affinity``, or something nearer, with the peer that was picked before.

    Without a peer, or with nobody near enough, all are kept. The peer is that of ``profile_handler_name``; empty means
    ``disagg-profile-handler``. ``topology_producer_name`` has no effect: places come from ``labels``.
    """

    def __init__(
        self,
        min_affinity: Level = "host",
        labels: PlaceLabels = DEFAULT_LABELS,
        profile_handler_name: str = "",
        topology_producer_name: str = "",
    ) -> None:
        self._farthest = LEVELS.index(min_affinity)
        self._labels = labels
        self._peer_key = PEER_ENDPOINT.of(profile_handler_name)

    def filter(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        peer = state.get(self._peer_key)
        if peer is None:
            return endpoints
        shared = [(endpoint, self._labels.shared(endpoint, peer)) for endpoint in endpoints]
        return [endpoint for endpoint, level in shared if level is not None and level <= self._farthest] or endpoints


class TopologyAffinityScorer:
    """Scores how near an endpoint is to the peer that was picked before.

    1 on the same host, 0.2 in the same rack, 0.05 in the same zone, 0.02 in the same region, else 0; without a peer 0
    for all. Parameters are those of ``topology-affinity-filter``.
    """

    def __init__(
        self,
        labels: PlaceLabels = DEFAULT_LABELS,
        profile_handler_name: str = "",
        topology_producer_name: str = "",
    ) -> None:
        self._labels = labels
        self._peer_key = PEER_ENDPOINT.of(profile_handler_name)

    def score(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Scores:
        peer = state.get(self._peer_key)
        if peer is None:
            return [0.0] * len(endpoints)
        levels = (self._labels.shared(endpoint, peer) for endpoint in endpoints)
        return [0.0 if level is None else CLOSENESS[level] for level in levels]
