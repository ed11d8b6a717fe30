"""Requests of several priority levels and tenants that come on their own clock, whatever becomes of them."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from types import MappingProxyType

from turnout.epp.demo.timed.arrivals import prompt_of, sizes, times
from turnout.epp.wire_names import FAIRNESS_ID

LEVELS: Mapping[str, float] = MappingProxyType(
    {"critical": 0.2, "high": 0.1, "normal": 0.2, "low": 0.3, "background": 0.2}
)
"""The shares of the levels, the highest level first. At 1.5 times the capacity the upper three ask for three quarters
of it, so that the lower two compete for a quarter of it and ask for three."""

LEVEL_HEADER = "x-priority-level"
LOW_LEVELS = ("low", "background")
CRITICAL = "critical"

TENANTS: Mapping[str, float] = MappingProxyType({"acme": 0.5, "bolt": 0.25, "core": 0.125, "dyne": 0.125})
"""One tenant sends as much as all others together, on every level."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request, sent ``at`` seconds after the start of the run. Sizes are in tokens of the simulated servers."""

    number: int
    at: float
    level: str
    tenant: str
    prompt_tokens: int
    answer_tokens: int

    @property
    def headers(self) -> Mapping[str, str]:
        """Its level and its tenant."""
        return {LEVEL_HEADER: self.level, FAIRNESS_ID[0]: self.tenant}

    def prompt(self, seed: int) -> str:
        """The text, of which no other request of the seed has a block."""
        return prompt_of(seed, self.number, self.prompt_tokens)


def arrivals(seed: int, rate: float, duration: float) -> Sequence[Arrival]:
    """A Poisson process of ``rate`` requests per second, for ``duration`` seconds."""
    moments = times(random.Random(f"arrivals {seed}"), rate, duration)
    return [replace(request, at=at) for at, request in zip(moments, requests(seed), strict=False)]


def requests(seed: int) -> Iterator[Arrival]:
    """The requests of a seed, without end and all at time 0."""
    draw = random.Random(f"requests {seed}")
    for number in count():
        yield Arrival(number, 0.0, *_sender(draw), *sizes(draw))


def _sender(draw: random.Random) -> tuple[str, str]:
    return _one_of(draw, LEVELS), _one_of(draw, TENANTS)


def _one_of(draw: random.Random, shares: Mapping[str, float]) -> str:
    return draw.choices(list(shares), list(shares.values()))[0]
