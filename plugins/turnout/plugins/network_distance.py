"""Prefers endpoints that are near the origin of a request, by a matrix of distances between places."""

import math
from collections.abc import Mapping, Sequence

from turnout.framework import CycleState, Endpoint, InferenceRequest, Scores

MAX_PLACES = 1_024
# A DNS name; clients choose what is in the header.
MAX_PLACE_CHARACTERS = 253
DEFAULT_LABELS = ("topology.kubernetes.io/zone",)


class NetworkDistanceScorer:
    """Scores the nearest candidate 1 and the farthest 0; one at distance d (farthest - d) / (farthest - nearest).

    ``distances`` gives, by origin and place, a number in any unit; one that is given one way holds both ways. A place
    is at distance 0 of itself. A pair that is missing is ``missing_distance`` apart, or as far as the largest of all
    ``distances``. The origin is what ``origin_header`` says if the matrix knows it, else ``origin``; a request whose
    origin is not known scores all endpoints 1. An endpoint's place is the first of its ``labels`` whose value has a
    distance from there.

    Raises:
        ValueError: there are no distances or labels, more than 1,024 places, ``origin`` is none of them, or a distance
            is negative, not finite, or not 0 from a place to itself.
    """

    def __init__(
        self,
        distances: Mapping[str, Mapping[str, float]],
        labels: Sequence[str] = DEFAULT_LABELS,
        origin: str = "",
        origin_header: str = "x-turnout-origin",
        missing_distance: float | None = None,
    ) -> None:
        if not labels or not all(labels):
            raise ValueError(f"labels must be at least one name, got {list(labels)!r}")
        if missing_distance is not None:
            _check("missing_distance", missing_distance)
        self._from = _both_ways(distances)
        if origin and origin not in self._from:
            raise ValueError(f"origin must be a place of distances, got {origin!r}")
        self._labels = tuple(labels)
        self._origin = origin
        self._header = origin_header.lower()
        largest = max(distance for row in self._from.values() for distance in row.values())
        self._missing = largest if missing_distance is None else missing_distance

    def score(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Scores:
        row = self._row(request)
        if row is None:
            return [1.0] * len(endpoints)
        distances = [self._distance(row, endpoint.labels) for endpoint in endpoints]
        nearest, farthest = min(distances), max(distances)
        if nearest == farthest:
            return [1.0] * len(endpoints)
        return [(farthest - distance) / (farthest - nearest) for distance in distances]

    def _row(self, request: InferenceRequest) -> Mapping[str, float] | None:
        stated = request.headers.get(self._header) if self._header else None
        if stated is not None and len(stated) <= MAX_PLACE_CHARACTERS:
            row = self._from.get(stated.strip())
            if row is not None:
                return row
        return self._from.get(self._origin)

    def _distance(self, row: Mapping[str, float], labels: Mapping[str, str]) -> float:
        for label in self._labels:
            place = labels.get(label)
            if place is not None and (distance := row.get(place)) is not None:
                return distance
        return self._missing


def _both_ways(distances: Mapping[str, Mapping[str, float]]) -> Mapping[str, Mapping[str, float]]:
    """From every place the distances to the others and to itself."""
    places = {*distances, *(place for row in distances.values() for place in row)}
    if not 1 <= len(places) <= MAX_PLACES or "" in places:
        raise ValueError(f"distances must name 1 to {MAX_PLACES} places, none of them empty, got {len(places)}")
    complete = {place: {place: 0.0} for place in places}
    for origin, row in distances.items():
        for place, distance in row.items():
            _check(f"distances.{origin}.{place}", distance)
            if origin == place and distance != 0.0:
                raise ValueError(f"distances.{origin}.{place} must be 0, a place is where it is, got {distance}")
            complete[origin][place] = float(distance)
            if origin not in distances.get(place, ()):
                complete[place][origin] = float(distance)
    return complete


def _check(name: str, distance: float) -> None:
    if not math.isfinite(distance) or distance < 0.0:
        raise ValueError(f"{name} must be at least 0 and finite, got {distance}")
