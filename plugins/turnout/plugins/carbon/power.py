"""What power an endpoint draws, as its labels or the configuration say."""

from dataclasses import dataclass

from turnout.framework import Endpoint

HIGHEST_WATTS = 1_000_000.0
MOST_GPUS = 10_000
_LONGEST_NUMBER = 32


@dataclass(frozen=True, slots=True)
class Power:
    """The power of an endpoint in use, in watts.

    The label ``power_label`` has that of the whole endpoint; without it, it is ``gpu_watts`` times the number of GPUs,
    which the label ``gpu_count_label`` has (else it is one). ``pue`` is what the site draws for each watt of its
    servers. Without the label and without ``gpu_watts`` it is not known.

    Raises:
        ValueError: a bound is outside its range.
    """

    gpu_watts: float | None = None
    pue: float = 1.0
    power_label: str = "turnout/power-watts"
    gpu_count_label: str = "nvidia.com/gpu.count"

    def __post_init__(self) -> None:
        if self.gpu_watts is not None and not 0.0 < self.gpu_watts <= HIGHEST_WATTS:
            raise ValueError(f"gpu_watts must be above 0 and at most {HIGHEST_WATTS:g}, got {self.gpu_watts}")
        if not 1.0 <= self.pue <= 10.0:
            raise ValueError(f"pue must be from 1 to 10, got {self.pue}")

    def watts(self, endpoint: Endpoint) -> float | None:
        """Power with the site's share; None where it is not known."""
        stated = _number(endpoint.labels.get(self.power_label), HIGHEST_WATTS)
        if stated is None and self.gpu_watts is not None:
            stated = self.gpu_watts * (_number(endpoint.labels.get(self.gpu_count_label), MOST_GPUS) or 1.0)
        return None if stated is None else stated * self.pue

    def bad_labels(self, endpoint: Endpoint) -> list[str]:
        """The labels that the endpoint has and that are no number above 0."""
        bounds = ((self.power_label, HIGHEST_WATTS), (self.gpu_count_label, float(MOST_GPUS)))
        return [name for name, most in bounds if name in endpoint.labels and not _number(endpoint.labels[name], most)]


def _number(text: str | None, most: float) -> float | None:
    if text is None or len(text) > _LONGEST_NUMBER:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0.0 < value <= most else None
