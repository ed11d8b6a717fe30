"""Leaves out endpoints where the electricity is too dirty."""

from collections.abc import Sequence
from typing import Literal

from turnout.framework import CycleState, Endpoint, InferenceRequest
from turnout.plugins.carbon.intensity import HIGHEST_INTENSITY
from turnout.plugins.carbon.keys import CARBON_INTENSITIES


class CarbonFilter:
    """Keeps the endpoints with at most ``max_intensity`` grams per kWh.

    Those whose intensity is not known are kept with ``keep_unknown``. Where nothing is left, ``when_none`` says whether
    to ``keep`` all, or to ``refuse`` the request.

    Raises:
        ValueError: the intensity is outside its range.
    """

    def __init__(
        self,
        max_intensity: float,
        keep_unknown: bool = True,
        when_none: Literal["keep", "refuse"] = "keep",
        carbon_producer_name: str = "",
    ) -> None:
        if not 0.0 <= max_intensity <= HIGHEST_INTENSITY:
            raise ValueError(f"max_intensity must be from 0 to {HIGHEST_INTENSITY:g}, got {max_intensity}")
        self._most = max_intensity
        self._keeps_unknown = keep_unknown
        self._refuses = when_none == "refuse"
        self._key = CARBON_INTENSITIES.of(carbon_producer_name)
        self.reads = (self._key,)

    def filter(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        """The endpoints that are clean enough."""
        known = state.get(self._key)
        grams = [None if known is None else known.of(endpoint) for endpoint in endpoints]
        kept = [endpoint for endpoint, each in zip(endpoints, grams, strict=True) if self._keeps(each)]
        return kept if kept or self._refuses else endpoints

    def _keeps(self, grams: float | None) -> bool:
        return self._keeps_unknown if grams is None else grams <= self._most
