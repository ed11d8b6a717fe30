"""Keep, or drop, endpoints with the labels that a request names.

Here the request states a need, not a wish: one whose header cannot be read is refused before it waits, for sending it
anywhere could send it where it must not go.
"""

from collections.abc import Sequence

from turnout.framework import (
    Classification,
    CycleState,
    Endpoint,
    InferenceRequest,
    Refusal,
    RefusalKind,
)
from turnout.plugins.affinity.scorers import AFFINITY_HEADER, ANTI_AFFINITY_HEADER
from turnout.plugins.affinity.terms import MalformedTermsError, WantedTerms, holds


class AffinityFilter:
    """Keeps the endpoints whose labels meet all of the request's terms; without terms all of them.

    Terms are read from ``header`` (``shard=7, rack=b``); ``terms`` hold for every request. Of several values of one
    label one is enough. Clients may name ``labels`` only, or any if that is empty. A request whose header cannot be
    read gets 400.

    Raises:
        ValueError: the header has no name, or a term cannot be read.
    """

    def __init__(self, header: str = AFFINITY_HEADER, terms: Sequence[str] = (), labels: Sequence[str] = ()) -> None:
        self._wanted = WantedTerms(header, terms, labels)

    def classify(self, request: InferenceRequest, state: CycleState) -> Classification | Refusal:
        """Refuses a request whose header cannot be read."""
        try:
            self._wanted.of(request.headers)
        except MalformedTermsError as error:
            return Refusal(RefusalKind.BAD_REQUEST, f"header {self._wanted.header} {error}")
        return Classification()

    def filter(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        terms = self._wanted.readable(request.headers).items()
        if not terms:
            return endpoints
        return [
            endpoint for endpoint in endpoints if all(holds(endpoint.labels, label, values) for label, values in terms)
        ]


class AntiAffinityFilter(AffinityFilter):
    """Drops the endpoints whose labels meet any of the request's terms; otherwise as affinity-filter."""

    def __init__(
        self, header: str = ANTI_AFFINITY_HEADER, terms: Sequence[str] = (), labels: Sequence[str] = ()
    ) -> None:
        super().__init__(header, terms, labels)

    def filter(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        terms = self._wanted.readable(request.headers).items()
        return [
            endpoint
            for endpoint in endpoints
            if not any(holds(endpoint.labels, label, values) for label, values in terms)
        ]
