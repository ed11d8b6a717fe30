"""KV events for tests: as values, and as vLLM puts them on the wire."""

from collections.abc import Sequence

import msgspec


def ids(*numbers: int) -> bytes:
    """Token ids as the picker keeps them."""
    return b"".join(number.to_bytes(4, "little") for number in numbers)


def payload(*events: dict[str, object], rank: int | None = 0) -> bytes:
    """One batch in vLLM's form."""
    return msgspec.msgpack.encode([0.0, list(events), rank])


def stored(
    hashes: Sequence[int], *, parent: int | None = None, size: int = 2, lora_name: str | None = None
) -> dict[str, object]:
    """Blocks of ``size`` tokens; the block with hash n has the tokens n x size and following."""
    return {
        "type": "BlockStored",
        "block_hashes": list(hashes),
        "parent_block_hash": parent,
        "token_ids": [token for name in hashes for token in range(name * size, (name + 1) * size)],
        "block_size": size,
        "lora_id": None,
        "medium": "GPU",
        "lora_name": lora_name,
        "extra_keys": [[lora_name] if lora_name else None for _ in hashes],
        "group_idx": 0,
        "kv_cache_spec_kind": "full_attention",
    }


def removed(*hashes: int) -> dict[str, object]:
    """These blocks left graphics memory."""
    return {"type": "BlockRemoved", "block_hashes": list(hashes), "medium": "GPU", "group_idx": 0}


CLEARED: dict[str, object] = {"type": "AllBlocksCleared"}
