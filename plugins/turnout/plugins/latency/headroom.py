"""How far the predictions for a request stay below its targets."""

from collections.abc import Sequence
from typing import NamedTuple

from turnout.framework import CycleState, Endpoint, StateKey
from turnout.plugins.latency.keys import NO_TARGETS, LatencyPrediction, LatencyPredictions, SloTargets


class Headroom(NamedTuple):
    """Seconds by which TTFT and TPOT stay below their targets at one endpoint; 0 without a target."""

    ttft: float
    tpot: float

    @property
    def meets(self) -> bool:
        """Both targets are expected to be met."""
        return self.ttft >= 0.0 and self.tpot >= 0.0


def headroom(prediction: LatencyPrediction, targets: SloTargets) -> Headroom:
    """Target less prediction of both times."""
    ttft, tpot = targets
    return Headroom(
        0.0 if ttft is None else ttft - prediction.ttft_seconds,
        0.0 if tpot is None else tpot - prediction.tpot_seconds,
    )


def known_predictions(
    predictions: LatencyPredictions, endpoints: Sequence[Endpoint]
) -> list[tuple[int, LatencyPrediction]]:
    """What is predicted of the endpoints, each with its place among them; those without a prediction are left out."""
    found = enumerate(predictions.get(endpoint.name) for endpoint in endpoints)
    return [(place, prediction) for place, prediction in found if prediction is not None]


def headrooms(
    state: CycleState,
    endpoints: Sequence[Endpoint],
    predictions_key: StateKey[LatencyPredictions],
    targets_key: StateKey[SloTargets],
) -> list[Headroom | None]:
    """That of each endpoint, in their order; None where nothing is predicted."""
    targets = state.get(targets_key, NO_TARGETS)
    rooms: list[Headroom | None] = [None] * len(endpoints)
    for place, prediction in known_predictions(state.get(predictions_key, {}), endpoints):
        rooms[place] = headroom(prediction, targets)
    return rooms
