"""Requests that come at random times, the same for each run of a seed; some begin alike."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count

from turnout.epp.demo.timed.arrivals import prompt_of, sizes, times

GROUPS = 8
SHARED_TOKENS = 512
"""What the prompts of one group begin with, so that the caches on both sides have something to find."""

ANSWER_TOKENS = (20, 60)
"""Short ones: the scenario is about what comes before the first token."""

_GROUP_NUMBERS = 900_000
"""No request has such a number; groups have their own texts."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request, sent ``at`` seconds after the start of the run. Sizes are in tokens of the simulated servers."""

    number: int
    at: float
    group: int
    prompt_tokens: int
    answer_tokens: int

    @property
    def headers(self) -> Mapping[str, str]:
        """None of its own."""
        return {}

    def prompt(self, seed: int) -> str:
        """The text: that of the group, and then its own."""
        shared = min(SHARED_TOKENS, self.prompt_tokens // 2)
        beginning = prompt_of(seed, _GROUP_NUMBERS + self.group, SHARED_TOKENS)
        own = prompt_of(seed, self.number, self.prompt_tokens - shared)
        return beginning[: len(beginning) * shared // SHARED_TOKENS] + own


def arrivals(seed: int, rate: float, duration: float) -> Sequence[Arrival]:
    """A Poisson process of ``rate`` requests per second, for ``duration`` seconds."""
    moments = times(random.Random(f"topology arrivals {seed}"), rate, duration)
    return [replace(request, at=at) for at, request in zip(moments, requests(seed), strict=False)]


def requests(seed: int) -> Iterator[Arrival]:
    """The requests of a seed, without end and all at time 0."""
    draw = random.Random(f"topology requests {seed}")
    for number in count():
        group = draw.randrange(GROUPS)
        prompt_tokens, _ = sizes(draw)
        yield Arrival(number, 0.0, group, prompt_tokens, draw.randint(*ANSWER_TOKENS))
