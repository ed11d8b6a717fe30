"""Names the blocks of a prompt so that equal names mean equal prefixes.

A block's name is a 64-bit hash (xxh3) of its content, seeded with the name of the block before it; the first one is
seeded with a root that stands for everything that separates caches. The producers differ only in what a block is cut
from: bytes of the request here, token ids where they are known.
"""

from collections.abc import Mapping, Sequence
from itertools import islice

import xxhash

from turnout.framework import Prompt

BYTES_PER_TOKEN = 4
"""Bytes of ``Prompt.data`` that stand for one token, and of a token id."""

_NOTHING: Mapping[int, bytes] = {}


def chain_root(model: str, salt: str, adapter: str = "") -> int:
    """The seed of the first block: caches of other models, salts or LoRA adapters share no name."""
    # NUL keeps model and salt apart.
    root = xxhash.xxh3_64_intdigest(f"{model}\0{salt}".encode("utf-8", "surrogatepass"))
    return xxhash.xxh3_64_intdigest(adapter.encode("utf-8", "surrogatepass"), root) if adapter else root


def hash_bytes(prompt: Prompt, model: str, block_size_tokens: int, max_blocks: int) -> list[int]:
    """One 64-bit hash for each block of the prompt's bytes, first block first, at most ``max_blocks``.

    A hash depends on its block, on all blocks before it, on the model and on the prompt's salt. The last,
    shorter block counts as a block.
    """
    data = prompt.data
    step = block_size_tokens * BYTES_PER_TOKEN
    digest = xxhash.xxh3_64_intdigest
    link = chain_root(model, prompt.salt)
    starts = islice(range(0, len(data), step), max_blocks)
    return [link := digest(data[start : start + step], link) for start in starts]


def hash_tokens(
    token_ids: bytes,
    block_size: int,
    parent: int,
    *,
    max_blocks: int | None = None,
    extras: Mapping[int, bytes] = _NOTHING,
) -> list[int]:
    """One 64-bit hash for each full block of token ids (4 bytes each, little-endian), at most ``max_blocks``.

    ``parent`` is the hash of the block before the first one, or the root. ``extras`` maps the number of a block to
    what stands in it beside its tokens, such as the hashes of images.
    """
    step = block_size * BYTES_PER_TOKEN
    full = len(token_ids) // step
    count = full if max_blocks is None else min(full, max_blocks)
    digest = xxhash.xxh3_64_intdigest
    if not extras:
        return [parent := digest(token_ids[start : start + step], parent) for start in range(0, count * step, step)]
    return [
        parent := digest(token_ids[number * step : (number + 1) * step] + extras.get(number, b""), parent)
        for number in range(count)
    ]


def by_number(extras: Sequence[bytes]) -> Mapping[int, bytes]:
    """The extras of consecutive blocks by number, those that are empty left out."""
    return {number: extra for number, extra in enumerate(extras) if extra} if any(extras) else _NOTHING
