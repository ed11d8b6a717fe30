"""Prefers endpoints where the electricity is clean."""

from collections.abc import Sequence

from turnout.framework import CycleState, Endpoint, InferenceRequest, Scores
from turnout.plugins.carbon.intensity import HIGHEST_INTENSITY
from turnout.plugins.carbon.keys import CARBON_INTENSITIES, CarbonIntensities


class CarbonScorer:
    """Scores 1 where electricity emits nothing, 0 from ``dirtiest`` grams per kWh on, and linearly in between.

    The differences are absolute, so that 20 g/kWh more count the same everywhere. With ``preferred_regions`` their
    endpoints get ``preference`` of the score for that, and all others less of it for being clean. An endpoint whose
    intensity is not known counts as one of ``unknown`` grams, by default as the dirtiest.

    Raises:
        ValueError: a bound is outside its range, or there is no preference for the preferred.
    """

    def __init__(
        self,
        dirtiest: float = 800.0,
        unknown: float | None = None,
        preferred_regions: Sequence[str] = (),
        preference: float = 0.2,
        carbon_producer_name: str = "",
    ) -> None:
        if not 0.0 < dirtiest <= HIGHEST_INTENSITY:
            raise ValueError(f"dirtiest must be above 0 and at most {HIGHEST_INTENSITY:g}, got {dirtiest}")
        if unknown is not None and not 0.0 <= unknown <= HIGHEST_INTENSITY:
            raise ValueError(f"unknown must be from 0 to {HIGHEST_INTENSITY:g}, got {unknown}")
        if not 0.0 <= preference <= 1.0:
            raise ValueError(f"preference must be from 0 to 1, got {preference}")
        self._dirtiest = dirtiest
        self._unknown = dirtiest if unknown is None else unknown
        self._preferred = frozenset(preferred_regions)
        self._preference = preference if preferred_regions else 0.0
        self._key = CARBON_INTENSITIES.of(carbon_producer_name)
        self.reads = (self._key,)

    def score(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Scores:
        """One score for each endpoint; without intensities all count as unknown."""
        known = state.get(self._key)
        return [self._of(known, endpoint) for endpoint in endpoints]

    def _of(self, known: CarbonIntensities | None, endpoint: Endpoint) -> float:
        grams = None if known is None else known.of(endpoint)
        clean = max(0.0, 1.0 - (self._unknown if grams is None else grams) / self._dirtiest)
        if not self._preference:
            return clean
        is_preferred = known is not None and known.region(endpoint) in self._preferred
        return min(1.0, (1.0 - self._preference) * clean + self._preference * is_preferred)
