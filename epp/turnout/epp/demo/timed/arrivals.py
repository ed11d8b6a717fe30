"""When requests come and how large they are, for workloads that are drawn before a run starts.

Everything is drawn from a seed, so that all runs see the same requests at the same times. Who sends what, and when, are
drawn apart: a faster workload is the same requests closer together.
"""

import math
import random
from collections.abc import Iterator

from turnout.epp.simulator.tokens import detokenize, generate_words

# A lognormal with this median, mean 1,430: most prompts are short and a few are long, as in any mixed traffic.
PROMPT_MEDIAN = 1_200
PROMPT_SIGMA = 0.6
PROMPT_TOKENS = (100, 6_000)
ANSWER_TOKENS = (60, 180)

_PROMPTS_PER_SEED = 1_000_003


def times(draw: random.Random, rate: float, duration: float) -> Iterator[float]:
    """A Poisson process of ``rate`` requests per second, for ``duration`` seconds."""
    now = draw.expovariate(rate)
    while now < duration:
        yield now
        now += draw.expovariate(rate)


def sizes(draw: random.Random) -> tuple[int, int]:
    """The tokens of a prompt and of its answer."""
    least, most = PROMPT_TOKENS
    prompt = round(draw.lognormvariate(math.log(PROMPT_MEDIAN), PROMPT_SIGMA))
    return min(max(prompt, least), most), draw.randint(*ANSWER_TOKENS)


def prompt_of(seed: int, number: int, tokens: int) -> str:
    """The text of a request: no two of a seed have a block in common, so that no cache helps anybody."""
    return detokenize(generate_words(_PROMPTS_PER_SEED * seed + number, tokens))
