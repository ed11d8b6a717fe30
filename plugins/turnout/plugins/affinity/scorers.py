"""Prefer, or avoid, endpoints with the labels that a request names. A header that cannot be read states no wish."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from turnout.framework import CycleState, Endpoint, InferenceRequest, Scores
from turnout.plugins.affinity.terms import WantedTerms, holds

AFFINITY_HEADER = "x-turnout-affinity"
ANTI_AFFINITY_HEADER = "x-turnout-anti-affinity"
MAX_WEIGHT = 1e6
NO_WEIGHTS: Mapping[str, float] = MappingProxyType({})


class AffinityScorer:
    """Scores the share of the request's terms that an endpoint's labels meet, by the weights of their labels.

    Terms are read from ``header`` (``shard=7, rack=b``); ``terms`` hold for every request. Clients may name
    ``labels`` only, or any if that is empty. A label without one of the ``weights`` weighs 1. Without terms all
    endpoints score 1.

    Raises:
        ValueError: the header has no name, a term cannot be read, or a weight is not positive and finite.
    """

    def __init__(
        self,
        header: str = AFFINITY_HEADER,
        terms: Sequence[str] = (),
        labels: Sequence[str] = (),
        weights: Mapping[str, float] = NO_WEIGHTS,
    ) -> None:
        for label, weight in weights.items():
            if not 0.0 < weight <= MAX_WEIGHT:
                raise ValueError(f"weights.{label} must be within (0, {MAX_WEIGHT:g}], got {weight}")
        self._weights = dict(weights)
        self._wanted = WantedTerms(header, terms, labels)

    def score(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Scores:
        terms = self._wanted.readable(request.headers)
        if not terms:
            return [1.0] * len(endpoints)
        weighted = [(label, values, self._weights.get(label, 1.0)) for label, values in terms.items()]
        whole = sum(weight for _, _, weight in weighted)
        met = (
            sum(weight for label, values, weight in weighted if holds(endpoint.labels, label, values))
            for endpoint in endpoints
        )
        return [min(1.0, share / whole) for share in met]


class AntiAffinityScorer(AffinityScorer):
    """Scores 1 less the share of the request's terms that an endpoint's labels meet; otherwise as affinity-scorer."""

    def __init__(
        self,
        header: str = ANTI_AFFINITY_HEADER,
        terms: Sequence[str] = (),
        labels: Sequence[str] = (),
        weights: Mapping[str, float] = NO_WEIGHTS,
    ) -> None:
        super().__init__(header, terms, labels, weights)

    def score(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Scores:
        if not self._wanted.readable(request.headers):
            return [1.0] * len(endpoints)
        return [1.0 - share for share in super().score(request, state, endpoints)]
