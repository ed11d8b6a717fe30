"""What the producer of carbon intensities publishes."""

from collections.abc import Mapping
from dataclasses import dataclass

from turnout.framework import Endpoint, KeyFamily

DEFAULT_PRODUCER = "carbon-intensity-producer"


@dataclass(frozen=True, slots=True)
class CarbonIntensities:
    """Grams of CO2 equivalents per kWh, by region, as far as they are known and not too old."""

    by_region: Mapping[str, float]
    region_label: str

    def region(self, endpoint: Endpoint) -> str:
        """Where the endpoint is; empty if it does not say."""
        return endpoint.labels.get(self.region_label, "")

    def of(self, endpoint: Endpoint) -> float | None:
        """The intensity where the endpoint is; None if it is not known."""
        return self.by_region.get(endpoint.labels.get(self.region_label, ""))


CARBON_INTENSITIES: KeyFamily[CarbonIntensities] = KeyFamily("carbon-intensities", DEFAULT_PRODUCER)
