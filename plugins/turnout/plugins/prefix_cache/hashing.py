"""Names the blocks of a prompt so that equal names mean equal prefixes."""

from itertools import islice

import xxhash

from turnout.framework import Prompt

BYTES_PER_TOKEN = 4
"""Bytes of ``Prompt.data`` that stand for one token."""


def hash_chain(prompt: Prompt, model: str, block_size_tokens: int, max_blocks: int) -> list[int]:
    """One 64-bit hash for each block of the prompt, first block first, at most ``max_blocks``.

    A hash depends on its block, on all blocks before it, on the model and on the prompt's salt. The last,
    shorter block counts as a block.
    """
    data = prompt.data
    step = block_size_tokens * BYTES_PER_TOKEN
    digest = xxhash.xxh3_64_intdigest
    # NUL keeps model and salt apart; the hash of each block is the seed of the next one.
    link = digest(f"{model}\0{prompt.salt}".encode("utf-8", "surrogatepass"))
    starts = islice(range(0, len(data), step), max_blocks)
    return [link := digest(data[start : start + step], link) for start in starts]
