"""A load in tokens that a test sets."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from turnout.framework import Endpoint


@dataclass
class StatedLoad:
    """Implements ``TokenLoad``: tokens by endpoint name, the same rate everywhere unless ``rates`` says otherwise."""

    queued: dict[str, float] = field(default_factory=dict)
    waiting: dict[str, int] = field(default_factory=dict)
    sent: dict[str, int] = field(default_factory=dict)
    rate: float = 1_000.0
    rates: dict[str, float] = field(default_factory=dict)

    def queued_tokens(self, endpoint: Endpoint, now: float) -> float:
        return self.queued.get(endpoint.name, 0.0)

    def tokens_per_second(self, endpoint_name: str) -> float:
        return self.rates.get(endpoint_name, self.rate)

    def sent_tokens(self, endpoint_name: str) -> int:
        return self.sent.get(endpoint_name, 0)

    def waiting_tokens(self) -> Mapping[str, int]:
        return self.waiting
