"""Requests with TTFT targets that come at random times, the same for each run of a seed."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from types import MappingProxyType

from turnout.epp.demo.timed.arrivals import prompt_of, sizes, times
from turnout.framework import TTFT_TARGET_HEADERS

# Of the requests alone on a fast server, the first token takes about 60 ms at the median and 280 ms for the longest
# prompt; on a slow one three times that.
TARGETS: Mapping[float, float] = MappingProxyType({0.3: 0.3, 1.0: 0.4, 4.0: 0.3})
"""Seconds to the first token, and the share of the requests that ask for it: voices, chats and documents."""


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
        """The text, of which no other request of the seed has a block."""
        return prompt_of(seed, self.number, self.prompt_tokens)


def arrivals(seed: int, rate: float, duration: float) -> Sequence[Arrival]:
    """A Poisson process of ``rate`` requests per second, for ``duration`` seconds."""
    moments = times(random.Random(f"slo arrivals {seed}"), rate, duration)
    return [replace(request, at=at) for at, request in zip(moments, requests(seed), strict=False)]


def requests(seed: int) -> Iterator[Arrival]:
    """The requests of a seed, without end and all at time 0."""
    draw = random.Random(f"slo requests {seed}")
    for number in count():
        target = draw.choices(list(TARGETS), list(TARGETS.values()))[0]
        yield Arrival(number, 0.0, target, *sizes(draw))
