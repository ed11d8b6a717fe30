"""The simulated servers of the scenario: two fast and dear ones, two slow and cheap ones."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from turnout.epp.demo.slo.workload import Arrival
from turnout.epp.demo.timed.capacity import engine_rate

SLOTS = 16
"""Requests that each engine runs at once."""


@dataclass(frozen=True, slots=True)
class ServerKind:
    """``time_scale`` times slower than an H100; prices are in dollars per million tokens."""

    name: str
    time_scale: float
    input_price: float
    output_price: float

    @property
    def labels(self) -> Mapping[str, str]:
        """What the picker knows of such a server."""
        return {
            "gpu-type": self.name,
            "turnout/price-per-million-input-tokens": f"{self.input_price:g}",
            "turnout/price-per-million-output-tokens": f"{self.output_price:g}",
        }


FAST = ServerKind("fast", 2.0, 0.40, 1.20)
SLOW = ServerKind("slow", 6.0, 0.15, 0.45)
SERVERS: Sequence[ServerKind] = (FAST, FAST, SLOW, SLOW)


def server_arguments(seed: int) -> Sequence[Sequence[str]]:
    """What each `turnout sim-server` is told."""
    return [
        ("--seed", str(seed + number), "--max-num-seqs", str(SLOTS), "--time-scale", str(kind.time_scale))
        for number, kind in enumerate(SERVERS)
    ]


def capacity(requests: Iterable[Arrival]) -> float:
    """Requests of this mix per second that the servers serve together when somebody always waits at each."""
    return engine_rate(requests, SLOTS) * sum(1.0 / kind.time_scale for kind in SERVERS)
