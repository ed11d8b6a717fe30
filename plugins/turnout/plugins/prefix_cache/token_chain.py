"""Names blocks of token ids, so that engines that know nothing of each other's hashes can be compared.

A key is the xxh3 hash of the block's token ids (4 bytes each, little-endian) and of what else the engine's own hash
covers (images in the block), seeded with the key of the block before. The first block is seeded with the adapter and
the cache salt. Equal keys therefore mean equal prefixes under the same adapter and salt.
"""

from collections.abc import Mapping, Sequence

import xxhash

BYTES_PER_ID = 4

_NOTHING: Mapping[int, bytes] = {}


def token_root(adapter: str, salt: str) -> int:
    """What the first block of a chain is seeded with; ``adapter`` is empty for the base model."""
    # NUL keeps the two apart.
    return xxhash.xxh3_64_intdigest(f"{adapter}\0{salt}".encode("utf-8", "surrogatepass"))


def token_chain(
    token_ids: bytes,
    block_size: int,
    parent: int,
    *,
    max_blocks: int | None = None,
    extras: Mapping[int, bytes] = _NOTHING,
) -> list[int]:
    """The keys of the full blocks, first block first, at most ``max_blocks``.

    ``parent`` is the key of the block before the first one, or the root. ``extras`` maps the number of a block to
    what its hash covers beside the tokens.
    """
    step = block_size * BYTES_PER_ID
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
