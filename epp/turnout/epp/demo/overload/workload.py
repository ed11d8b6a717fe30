"""Requests of several priority levels and tenants that come on their own clock, whatever becomes of them.

Everything is drawn from the seed before a run starts, so that all runs see the same requests at the same times. Who
sends what, and when, are drawn apart: a faster workload is the same requests closer together.
"""

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from turnout.epp.simulator.tokens import detokenize, generate_words
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

# A lognormal with this median, mean 1,430: most prompts are short and a few are long, as in any mixed traffic.
PROMPT_MEDIAN = 1_200
PROMPT_SIGMA = 0.6
PROMPT_TOKENS = (100, 6_000)
ANSWER_TOKENS = (60, 180)

_PROMPTS_PER_SEED = 1_000_003


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
        """The text: no two requests of a seed have a block in common, so that no cache helps anybody."""
        return detokenize(generate_words(_PROMPTS_PER_SEED * seed + self.number, self.prompt_tokens))


def arrivals(seed: int, rate: float, duration: float) -> Sequence[Arrival]:
    """A Poisson process of ``rate`` requests per second, for ``duration`` seconds."""
    draw = random.Random(f"arrivals {seed}")
    found: list[Arrival] = []
    now = draw.expovariate(rate)
    for request in requests(seed):
        if now >= duration:
            break
        found.append(
            Arrival(request.number, now, request.level, request.tenant, request.prompt_tokens, request.answer_tokens)
        )
        now += draw.expovariate(rate)
    return found


def requests(seed: int) -> Iterator[Arrival]:
    """The requests of a seed, without end and all at time 0."""
    draw = random.Random(f"requests {seed}")
    number = 0
    while True:
        yield Arrival(number, 0.0, *_sender(draw), *_sizes(draw))
        number += 1


def _sender(draw: random.Random) -> tuple[str, str]:
    return _one_of(draw, LEVELS), _one_of(draw, TENANTS)


def _one_of(draw: random.Random, shares: Mapping[str, float]) -> str:
    return draw.choices(list(shares), list(shares.values()))[0]


def _sizes(draw: random.Random) -> tuple[int, int]:
    least, most = PROMPT_TOKENS
    prompt = round(draw.lognormvariate(math.log(PROMPT_MEDIAN), PROMPT_SIGMA))
    return min(max(prompt, least), most), draw.randint(*ANSWER_TOKENS)
