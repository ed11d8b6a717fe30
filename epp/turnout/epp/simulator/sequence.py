"""One request inside the engine, and what a caller submits."""

from __future__ import annotations

from array import array
from dataclasses import dataclass

from turnout.epp.simulator.blocks import Block, chain_root, extend_hashes
from turnout.epp.simulator.measurements import FinishReason


@dataclass(frozen=True)
class GenerationRequest:
    """A prompt and the answer that the engine takes its time to generate, as arrays of type code "I".

    Raises:
        ValueError: the prompt or the output is empty.

    """

    request_id: str
    prompt: array[int]
    output: array[int]
    lora_name: str | None = None
    cache_salt: str | None = None
    finish_reason: FinishReason = "length"
    """Why the answer ends where it does, reported with the last token."""
    received: bool = False
    """Whether another engine has computed the prompt and its keys and values have been transferred here."""

    def __post_init__(self) -> None:
        if not self.prompt or not self.output:
            raise ValueError(f"request {self.request_id!r}: prompt and output need at least one token each")


class Sequence:
    """The state of one request in the engine, from `Engine.submit` until it has finished or is cancelled."""

    __slots__ = (
        "adapter",
        "admitted_at",
        "arrived_at",
        "blocked_at",
        "blocks",
        "cached_tokens",
        "computed",
        "decoding",
        "done",
        "hashes",
        "known",
        "last_token_at",
        "prompt_length",
        "request",
        "root",
        "scheduled",
        "tokens",
    )

    def __init__(self, request: GenerationRequest, model: str, block_size: int, now: float) -> None:
        self.request = request
        self.adapter = request.lora_name
        self.arrived_at = now
        self.admitted_at: float | None = None
        self.last_token_at: float | None = None
        self.blocked_at = -1
        """Value of `BlockPool.releases` when this sequence last found too few blocks."""
        self.prompt_length = len(request.prompt)
        self.tokens = request.prompt + request.output
        self.known = self.prompt_length
        """How many of `tokens` exist so far: the prompt and what has been generated."""
        self.computed = 0
        """How many of `tokens` have their keys and values in the cache."""
        self.scheduled = 0
        """How many tokens the step in progress computes."""
        self.cached_tokens = 0
        """Prompt tokens that need not be computed at the first admission: cached here, or received."""
        self.decoding = False
        self.done = False
        self.blocks: list[Block] = []
        self.root = chain_root(model, request.lora_name, request.cache_salt)
        self.hashes: list[int] = []
        extend_hashes(self.hashes, self.root, self.tokens, block_size, self.prompt_length // block_size)

    def restart(self) -> None:
        """Forget what was computed, as preemption does; what was generated stays known."""
        self.blocks = []
        self.computed = 0
        self.decoding = False
