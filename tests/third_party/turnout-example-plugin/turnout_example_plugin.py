"""Prefers endpoints with a label."""

from collections.abc import Sequence

from turnout.framework import CycleState, Endpoint, InferenceRequest, Scores


class LabelScorer:
    """Scores endpoints whose label has the value 1 and all others ``otherwise``, 0 to 1."""

    def __init__(self, label: str, value: str, otherwise: float = 0.0) -> None:
        if not 0.0 <= otherwise <= 1.0:
            raise ValueError(f"otherwise must be within [0, 1], got {otherwise}")
        self._label = label
        self._value = value
        self._otherwise = otherwise

    def score(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Scores:
        wanted = (self._label, self._value)
        return [1.0 if wanted in endpoint.labels.items() else self._otherwise for endpoint in endpoints]
