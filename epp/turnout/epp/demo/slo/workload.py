"""Requests with TTFT targets that come at random times, the same for each run of a seed."""

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from turnout.epp.simulator.tokens import detokenize, generate_words
from turnout.framework import TTFT_TARGET_HEADERS

# Of the requests alone on a fast server, the first token takes about 60 ms at the median and 280 ms for the longest
# prompt; on a slow one three times that.
TARGETS: Mapping[float, float] = MappingProxyType({0.3: 0.3, 1.0: 0.4, 4.0: 0.3})
"""Seconds to the first token, and the share of the requests that ask for it: voices, chats and documents."""

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
    target: float
    prompt_tokens: int
    answer_tokens: int

    @property
    def headers(self) -> Mapping[str, str]:
        """Its target."""
        return {TTFT_TARGET_HEADERS[0]: f"{self.target * 1000:g}"}

    def prompt(self, seed: int) -> str:
        """The text: no two requests of a seed have a block in common, so that no cache helps anybody."""
        return detokenize(generate_words(_PROMPTS_PER_SEED * seed + self.number, self.prompt_tokens))


def arrivals(seed: int, rate: float, duration: float) -> Sequence[Arrival]:
    """A Poisson process of ``rate`` requests per second, for ``duration`` seconds."""
    draw = random.Random(f"slo arrivals {seed}")
    found: list[Arrival] = []
    now = draw.expovariate(rate)
    for request in requests(seed):
        if now >= duration:
            break
        found.append(replace(request, at=now))
        now += draw.expovariate(rate)
    return found


def requests(seed: int) -> Iterator[Arrival]:
    """The requests of a seed, without end and all at time 0."""
    draw = random.Random(f"slo requests {seed}")
    least, most = PROMPT_TOKENS
    number = 0
    while True:
        target = draw.choices(list(TARGETS), list(TARGETS.values()))[0]
        prompt = round(draw.lognormvariate(math.log(PROMPT_MEDIAN), PROMPT_SIGMA))
        yield Arrival(number, 0.0, target, min(max(prompt, least), most), draw.randint(*ANSWER_TOKENS))
        number += 1
