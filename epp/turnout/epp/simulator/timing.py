"""How long one batched step of the engine takes."""

from collections.abc import Iterable
from dataclasses import dataclass

_TOKENS_PER_KILOTOKEN = 1000.0
_MILLISECONDS_PER_SECOND = 1000.0


@dataclass(frozen=True)
class StepTiming:
    """The coefficients of a step's duration, all in milliseconds; the defaults are Llama-3.1-8B in BF16 on
    one H100 SXM.

    They are least-squares fits to tables of NVIDIA AIConfigurator 0.12.0 (silicon data of vLLM 0.24.0 on
    H100): at most 3.6 % off for prefills of 512 tokens or more, at most 8.4 % off for decode steps. How the
    two combine in a mixed step (the weights are read once and hide behind the prefill's arithmetic) is a
    model choice, not a measurement.
    """

    weights_ms: float = 6.36
    """Reading the weights once: the floor of every step."""
    prefill_start_ms: float = 1.5
    """Fixed part of a step that computes prompt tokens."""
    prefill_ms_per_kilotoken: float = 20.0
    """Linear layers, per 1,000 new prompt tokens."""
    attention_ms_per_square_kilotoken: float = 0.406
    """Attention of a chunk, times (cached + new)^2 - cached^2 in thousands of tokens, squared."""
    decode_ms_per_sequence: float = 0.0127
    """Per sequence that decodes in the step."""
    decode_ms_per_context_kilotoken: float = 0.0414
    """Reading the KV cache, per 1,000 tokens of context summed over the sequences that decode."""

    def step_seconds(self, chunks: Iterable[tuple[int, int]], decodes: int, context_tokens: int) -> float:
        """Return the duration in seconds of one step.

        `chunks` are the prompt chunks computed in it, each as (tokens of the sequence already in the cache,
        new tokens); `decodes` sequences decode one token each, over `context_tokens` tokens of context
        together.
        """
        prefill_ms = self._prefill_ms(chunks)
        decode_ms = self.decode_ms_per_sequence * decodes
        context_ms = self.decode_ms_per_context_kilotoken * context_tokens / _TOKENS_PER_KILOTOKEN
        return (max(self.weights_ms, prefill_ms) + decode_ms + context_ms) / _MILLISECONDS_PER_SECOND

    def _prefill_ms(self, chunks: Iterable[tuple[int, int]]) -> float:
        total_ms = self.prefill_start_ms
        for cached_tokens, new_tokens in chunks:
            cached, new = cached_tokens / _TOKENS_PER_KILOTOKEN, new_tokens / _TOKENS_PER_KILOTOKEN
            attended = (cached + new) ** 2 - cached**2
            total_ms += self.prefill_ms_per_kilotoken * new + self.attention_ms_per_square_kilotoken * attended
        return total_ms
