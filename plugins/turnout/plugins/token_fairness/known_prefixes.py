"""How much of a prompt begins like one that was dispatched a while ago, and so may be in some engine's cache.

Theory of operation. Prompts are cut into blocks; a block's name is a 64-bit hash (xxh3) of its bytes, seeded with the
name of the block before it, so that equal names mean equal prefixes. Of the blocks of dispatched prompts the latest
ones are known. A prompt's blocks become known from its last to its first, so a block is always forgotten before the
one that it follows: what is known of a prompt is a prefix of it, and its length is found by bisection.
"""

from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import xxhash

from turnout.framework import PROMPT, CycleState, InferenceRequest, KeyFamily, Prompt
from turnout.plugins.token_fairness.parameters import within

_EMPTY = Prompt()


class Known(NamedTuple):
    """What is known of a prompt: its share from 0 to 1, its tokens if all have the same length, and when it was used.

    ``last_use`` is the number of the prompt that was remembered last with this beginning; 0 if nothing is known.
    """

    share: float
    tokens: float
    last_use: int


NOTHING = Known(0.0, 0.0, 0)

# By block size and number: plugins that cut prompts alike hash each of them once.
_BLOCKS: KeyFamily[Sequence[int]] = KeyFamily("prompt-blocks", "")


class KnownPrefixes:
    """The latest ``known_blocks`` blocks of ``block_bytes`` bytes; of a prompt its first ``max_blocks`` count.

    A block that is known takes about 150 bytes of memory, one of a request that waits or runs 8.

    Raises:
        ValueError: a number is out of its range.
    """

    def __init__(self, block_bytes: int, max_blocks: int, known_blocks: int) -> None:
        within("block_bytes", block_bytes, 16, 1_048_576)
        within("max_blocks", max_blocks, 1, 4096)
        within("known_blocks", known_blocks, 1, 10_000_000)
        self._block_bytes = block_bytes
        self._max_blocks = max_blocks
        self._capacity = known_blocks
        self._key = _BLOCKS.of(f"{max_blocks} of {block_bytes} bytes")
        self._known: OrderedDict[int, int] = OrderedDict()
        self._prompts = 0

    def of(self, request: InferenceRequest, state: CycleState) -> Known:
        """What of the request's prompt is known."""
        blocks = self._blocks(request, state)
        known = self._known
        if not blocks or blocks[0] not in known:
            return NOTHING
        depth = bisect_left(blocks, True, key=lambda block: block not in known)
        prompt = state.get(PROMPT, _EMPTY)
        share = min(1.0, depth * self._block_bytes / len(prompt.data))
        return Known(share, share * max(0, prompt.tokens), known[blocks[depth - 1]])

    def remember(self, request: InferenceRequest, state: CycleState) -> None:
        """The request's prompt is on its way to an engine."""
        known = self._known
        self._prompts += 1
        for block in reversed(self._blocks(request, state)):
            known[block] = self._prompts
            known.move_to_end(block)
        while len(known) > self._capacity:
            known.popitem(last=False)

    def _blocks(self, request: InferenceRequest, state: CycleState) -> Sequence[int]:
        blocks = state.get(self._key)
        if blocks is None:
            blocks = self._named(request, state.get(PROMPT, _EMPTY))
            state.write(self._key, blocks)
        return blocks

    def _named(self, request: InferenceRequest, prompt: Prompt) -> Sequence[int]:
        data, step = prompt.data, self._block_bytes
        digest = xxhash.xxh3_64_intdigest
        # NUL keeps model and salt apart.
        link = digest(f"{request.target_model}\0{prompt.salt}".encode("utf-8", "surrogatepass"))
        starts = range(0, min(len(data), step * self._max_blocks), step)
        return array("Q", [link := digest(data[start : start + step], link) for start in starts])
