"""What clients measure."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Measurements:
    """What the clients of one run saw. Times are in seconds."""

    ttfts: list[float] = field(default_factory=list)
    requests: int = 0
    output_tokens: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    started: float = 0.0
    ended: float = 0.0

    @property
    def seconds(self) -> float:
        """From the first request to the end of the last answer."""
        return max(self.ended - self.started, 1e-9)
