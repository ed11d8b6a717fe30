"""What requests emitted, by region.

The formula. A request emits the energy that it took times the intensity of the grid: ``E * I`` of the Software Carbon
Intensity specification (ISO/IEC 21031), operation only. Its energy is the power of its endpoint times the time that it
took from the endpoint: ``grams = watts * PUE * seconds / 3,600,000 * intensity``.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from turnout.framework import CounterReading, Histogram, HistogramReading, Reading

JOULES_PER_KWH = 3_600_000.0
MAX_REGIONS_SHOWN = 200
OTHER = "other"
UNKNOWN = "unknown"

_GRAMS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


@dataclass(slots=True)
class _Totals:
    requests: int = 0
    unknown: int = 0
    joules: float = 0.0
    grams: float = 0.0


class Emissions:
    """Totals by region; of more than 200 the rest is ``other``."""

    def __init__(self) -> None:
        self._regions: dict[str, _Totals] = {}
        self._grams = Histogram(_GRAMS)

    def add(self, region: str, joules: float | None, intensity: float | None) -> float | None:
        """Enters a request; gives its grams, None where energy or intensity is not known."""
        # One that is really called so shares the figures: a series must not be there twice.
        region = region or UNKNOWN
        if region not in self._regions and len(self._regions) >= MAX_REGIONS_SHOWN:
            region = OTHER
        totals = self._regions.setdefault(region, _Totals())
        totals.requests += 1
        totals.joules += joules or 0.0
        if joules is None or intensity is None:
            totals.unknown += 1
            return None
        grams = joules / JOULES_PER_KWH * intensity
        totals.grams += grams
        self._grams.observe(grams)
        return grams

    def readings(self) -> Iterable[Reading]:
        """Grams, joules and requests by region, and grams by request."""
        yield HistogramReading("carbon_request_grams", "CO2 equivalents of one request, in grams.", self._grams)
        for region, totals in self._regions.items():
            labels = {"region": region}
            yield CounterReading("carbon_grams_total", "CO2 equivalents of requests, in grams.", totals.grams, labels)
            yield CounterReading("carbon_joules_total", "Energy of requests, in joules.", totals.joules, labels)
            yield CounterReading("carbon_requests_total", "Requests that have ended.", totals.requests, labels)
            help_text = "Requests whose grams are not known, for want of an intensity or of a power."
            yield CounterReading("carbon_requests_unknown_total", help_text, totals.unknown, labels)
