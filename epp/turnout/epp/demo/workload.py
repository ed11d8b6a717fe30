"""Chat traffic: conversations of several turns that share a few long system prompts.

Everything that a run does is drawn from its seed before it starts, so that two gateways see the same
conversations, the same words, the same arrival times and the same pauses. Conversations arrive on their own
clock whatever the servers do; the turns of one conversation follow each other.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_TEXT = (
    "the track leads north over a bridge and past the old signal box where every train must wait until its "
    "route is set and locked before the points move again for the next one that comes down the line"
)
_WORDS = tuple(_TEXT.split())


@dataclass(frozen=True, slots=True)
class WorkloadOptions:
    """Sizes are in characters (about 4 to a token), times in seconds.

    The defaults load four simulated servers to about half of what they could prefill without any cache hits.
    """

    seed: int = 0
    duration: float = 30.0
    conversations_per_second: float = 4.0
    system_prompts: int = 16
    system_prompt_size: int = 24_000
    turns: tuple[int, int] = (2, 6)
    question_size: tuple[int, int] = (120, 1_600)
    answer_tokens: tuple[int, int] = (12, 48)
    pause: tuple[float, float] = (0.2, 1.5)


@dataclass(frozen=True, slots=True)
class Turn:
    """One question: what the user writes, how long the answer may be, and the pause before it is asked."""

    question: str
    answer_tokens: int
    pause: float


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation that begins ``start`` seconds into the run."""

    start: float
    system_prompt: str
    turns: tuple[Turn, ...]


def generate(options: WorkloadOptions) -> Sequence[Conversation]:
    """All conversations of a run in order of their start."""
    draw = random.Random(options.seed)
    prompts = [_text(draw, options.system_prompt_size) for _ in range(options.system_prompts)]
    return [_conversation(draw, options, start, prompts) for start in _arrivals(draw, options)]


def _arrivals(draw: random.Random, options: WorkloadOptions) -> Iterator[float]:
    at = draw.expovariate(options.conversations_per_second)
    while at < options.duration:
        yield at
        at += draw.expovariate(options.conversations_per_second)


def _conversation(draw: random.Random, options: WorkloadOptions, start: float, prompts: Sequence[str]) -> Conversation:
    # A few assistants are popular and many are not, as in any company: Zipf's law with exponent 1.
    weights = [1.0 / rank for rank in range(1, len(prompts) + 1)]
    prompt = draw.choices(prompts, weights)[0]
    turns = tuple(
        Turn(
            _text(draw, draw.randint(*options.question_size)),
            draw.randint(*options.answer_tokens),
            draw.uniform(*options.pause),
        )
        for _ in range(draw.randint(*options.turns))
    )
    return Conversation(start, prompt, turns)


def _text(draw: random.Random, size: int) -> str:
    words: list[str] = []
    length = 0
    while length < size:
        words.append(draw.choice(_WORDS))
        length += len(words[-1]) + 1
    return " ".join(words)
