"""What a request should cost an engine, from its form alone: the prior that observations correct.

The form is that of one batched step of a continuous-batching engine. A step that computes prompt tokens takes a fixed
time, a time per new token and one per pair of tokens that attend to each other; a step that decodes reads the weights,
and for each sequence its context. The two overlap, so that a mixed step takes the longer of prefill and weights plus
what the decoding sequences add.
"""

import math
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MILLISECOND = 1e-3
_KILOTOKEN = 1e-3


@dataclass(frozen=True, slots=True)
class EngineTiming:
    """Milliseconds that parts of a step take. The defaults are those of Llama-3.1-8B in BF16 on one H100 SXM.

    They are least-squares fits to the tables of NVIDIA AIConfigurator 0.12.0 (vLLM 0.24.0 on H100); what a request
    takes at the door of the engine (``overhead_ms``) is a judgement. An engine that is slower or faster by a factor
    needs no figures of its own: the factor is learnt within some requests.

    Raises:
        ValueError: a figure is negative or not finite, or ``weights_ms`` or ``prefill_chunk_tokens`` is not positive.
    """

    overhead_ms: float = 5.0
    weights_ms: float = 6.36
    prefill_start_ms: float = 1.5
    prefill_ms_per_kilotoken: float = 20.0
    attention_ms_per_square_kilotoken: float = 0.406
    decode_ms_per_sequence: float = 0.0127
    decode_ms_per_context_kilotoken: float = 0.0414
    prefill_chunk_tokens: int = 2048

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0.0 <= value < math.inf:
                raise ValueError(f"{field.name} must be at least 0 and finite, got {value}")
        if not self.weights_ms > 0.0 or self.prefill_chunk_tokens < 1:
            given = f"{self.weights_ms} and {self.prefill_chunk_tokens}"
            raise ValueError(f"weights_ms and prefill_chunk_tokens must be above 0, got {given}")

    def steps(self, uncached: Floats) -> Floats:
        """How many steps compute so many prompt tokens; the last one is computed even if all are cached."""
        return np.maximum(1.0, np.ceil(uncached / self.prefill_chunk_tokens))

    def prefill_seconds(self, uncached: Floats, prompt_tokens: float) -> tuple[Floats, Floats]:
        """To compute the tokens of a prompt that are not cached, alone on the engine: the least, and what is beyond.

        The least is what reading the weights takes, whatever the number of tokens. How both relate is another matter on
        each kind of hardware: bandwidth of the memory sets the former, arithmetic the latter.
        """
        new, all_tokens = uncached * _KILOTOKEN, prompt_tokens * _KILOTOKEN
        attended = all_tokens * all_tokens - (all_tokens - new) ** 2
        steps = self.steps(uncached)
        computed = (
            self.prefill_start_ms * steps
            + self.prefill_ms_per_kilotoken * new
            + self.attention_ms_per_square_kilotoken * attended
        )
        least = self.weights_ms * steps
        return least * MILLISECOND, np.maximum(0.0, computed - least) * MILLISECOND

    def batch_seconds(self, sequences: Floats, context_tokens: Floats) -> Floats:
        """What the sequences that decode add to one step."""
        per_sequence = self.decode_ms_per_sequence * sequences
        return (per_sequence + self.decode_ms_per_context_kilotoken * _KILOTOKEN * context_tokens) * MILLISECOND
