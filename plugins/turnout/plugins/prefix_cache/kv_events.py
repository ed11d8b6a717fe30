"""Reads batches of KV cache events as engines publish them.

Three shapes are in the field: arrays throughout, with the event's tag first and trailing defaults left out (older
vLLM, SGLang); an array whose events are maps with a ``type`` (vLLM since mid-2026); maps throughout. The msgpack
type at each level tells which, so publishers of different versions need no setting. Keys that are not known are
skipped, fields that came later may be missing.
"""

import math
import sys
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from turnout.plugins.prefix_cache.extra_keys import extras_of, read_extra_keys

__all__ = [
    "AllCleared",
    "BlocksRemoved",
    "BlocksStored",
    "EventBatch",
    "KVEvent",
    "UndecodableError",
    "decode_batch",
    "extras_of",
    "rank_of",
]

MAX_PAYLOAD_BYTES = 8 * 1024 * 1024
"""Bytes of one batch. A prompt of a million tokens, stored at once, takes about 6 MB."""

MAX_EVENTS = 65_536
"""Events of one batch."""

MAX_BLOCKS = 262_144
"""Block hashes of one batch, over all its events."""

MAX_TOKENS = 4_194_304
"""Token ids of one batch, over all its events."""

MAX_NAME_LENGTH = 1_024
"""Characters of an adapter's name, a medium or a kind."""

MAX_UNKNOWN_TAGS = 8
"""Unknown tags that one batch counts by name; further ones are counted under the empty name."""

_MAX_TAG_LENGTH = 64
_UINT64 = (1 << 64) - 1
_DEFAULT_MEDIUM = "GPU"


class UndecodableError(ValueError):
    """A payload is not a batch of events. ``cause`` is one of "truncated", "shape", "field" and "too-large"."""

    def __init__(self, cause: str, message: str) -> None:
        super().__init__(message)
        self.cause = cause


@dataclass(frozen=True, slots=True)
class BlocksStored:
    """Consecutive blocks of one chain are in the cache.

    ``hashes`` are the engine's names of the blocks, unsigned; ``parent`` names the block before the first one, and
    is None at the start of a prompt. ``token_ids`` holds 4 bytes, little-endian, for each token. ``block_size`` is
    in tokens. Engines leave blocks out of ``hashes`` that they do not keep (sliding windows), and send blocks of
    which they know no tokens: ``len(hashes) * block_size`` may differ from the number of tokens.

    ``extras`` has one entry for each block, see ``extras_of``; ``salt`` is "" also where the engine does not tell it.
    ``medium`` is in upper case. ``group`` and ``kind`` say which attention layers the blocks belong to.
    """

    hashes: tuple[int, ...]
    parent: int | None
    token_ids: bytes
    block_size: int
    medium: str
    lora_name: str | None
    extras: tuple[bytes, ...]
    salt: str
    group: int
    kind: str


@dataclass(frozen=True, slots=True)
class BlocksRemoved:
    """Blocks have left the medium."""

    hashes: tuple[int, ...]
    medium: str
    group: int


@dataclass(frozen=True, slots=True)
class AllCleared:
    """The publisher's cache is empty."""


KVEvent = BlocksStored | BlocksRemoved | AllCleared


@dataclass(frozen=True, slots=True)
class EventBatch:
    """Events in the order in which they happened.

    ``timestamp`` is in Unix seconds by the publisher's clock, ``rank`` its data-parallel rank if it tells one.
    ``unknown`` counts the events that were skipped, by tag.
    """

    timestamp: float
    events: tuple[KVEvent, ...]
    rank: int | None
    unknown: Mapping[str, int]


def decode_batch(payload: bytes) -> EventBatch:
    """Reads one batch.

    Raises:
        UndecodableError: for every payload that is not a batch; nothing else is raised.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise UndecodableError("too-large", f"a batch of {len(payload)} bytes; at most {MAX_PAYLOAD_BYTES} are read")
    try:
        return _decoded(payload)
    except msgspec.ValidationError as error:
        raise UndecodableError("field", str(error)) from error
    except msgspec.DecodeError as error:
        raise UndecodableError("truncated" if "truncated" in str(error) else "shape", str(error)) from error
    except (UnicodeDecodeError, OverflowError) as error:
        raise UndecodableError("field", str(error)) from error
    except RecursionError as error:
        raise UndecodableError("shape", "nested too deeply") from error


def rank_of(payload: bytes) -> int | None:
    """The data-parallel rank that a batch tells, without reading its events; None also if it is not a batch."""
    try:
        batch = _outer(payload)
    except (ValueError, RecursionError):
        return None
    return batch.data_parallel_rank


_Hash = int | bytes


class _ArrayBatch(msgspec.Struct, array_like=True, gc=False):
    ts: float
    events: list[msgspec.Raw]
    data_parallel_rank: int | None = None


class _MapBatch(msgspec.Struct, gc=False):
    ts: float
    events: list[msgspec.Raw]
    data_parallel_rank: int | None = None


class _Stored(msgspec.Struct):
    # In the order of the arrays on the wire.
    block_hashes: list[_Hash]
    parent_block_hash: _Hash | None
    token_ids: list[int]
    block_size: int
    lora_id: int | None = None
    medium: str | None = None
    lora_name: str | None = None
    extra_keys: list[list[msgspec.Raw] | None] | None = None
    group_idx: int | None = None
    kv_cache_spec_kind: str | None = None


class _Removed(msgspec.Struct):
    block_hashes: list[_Hash]
    medium: str | None = None
    group_idx: int | None = None


class _ArrayStored(_Stored, array_like=True, tag="BlockStored"):
    pass


class _ArrayRemoved(_Removed, array_like=True, tag="BlockRemoved"):
    pass


class _ArrayCleared(msgspec.Struct, array_like=True, tag="AllBlocksCleared"):
    pass


class _ArrayHead(msgspec.Struct, array_like=True):
    type: str


class _MapStored(_Stored, tag_field="type", tag="BlockStored"):
    pass


class _MapRemoved(_Removed, tag_field="type", tag="BlockRemoved"):
    pass


class _MapCleared(msgspec.Struct, tag_field="type", tag="AllBlocksCleared"):
    pass


class _MapHead(msgspec.Struct):
    type: str


_TAGS = frozenset({"BlockStored", "BlockRemoved", "AllBlocksCleared"})
_WireEvent = _ArrayStored | _ArrayRemoved | _ArrayCleared | _MapStored | _MapRemoved | _MapCleared
_array_batches = msgspec.msgpack.Decoder(_ArrayBatch)
_map_batches = msgspec.msgpack.Decoder(_MapBatch)
_array_events = msgspec.msgpack.Decoder(_ArrayStored | _ArrayRemoved | _ArrayCleared)
_map_events = msgspec.msgpack.Decoder(_MapStored | _MapRemoved | _MapCleared)
_array_heads = msgspec.msgpack.Decoder(_ArrayHead)
_map_heads = msgspec.msgpack.Decoder(_MapHead)


def _decoded(payload: bytes) -> EventBatch:
    batch = _outer(payload)
    if not math.isfinite(batch.ts):
        raise UndecodableError("field", f"the timestamp is {batch.ts}")
    if len(batch.events) > MAX_EVENTS:
        raise UndecodableError("too-large", f"a batch of {len(batch.events)} events; at most {MAX_EVENTS} are read")
    unknown: dict[str, int] = {}
    wire = [event for raw in batch.events if (event := _wire_event(raw, unknown)) is not None]
    _check_sizes(wire)
    return EventBatch(batch.ts, tuple(map(_event, wire)), batch.data_parallel_rank, unknown)


def _outer(payload: bytes) -> _ArrayBatch | _MapBatch:
    return _array_batches.decode(payload) if _is_array(payload) else _map_batches.decode(payload)


def _is_array(encoded: bytes | msgspec.Raw) -> bool:
    """Whether msgpack data is an array; False for a map."""
    first = memoryview(encoded)[0] if encoded else 0
    if first & 0xF0 == 0x90 or first in {0xDC, 0xDD}:
        return True
    if first & 0xF0 == 0x80 or first in {0xDE, 0xDF}:
        return False
    raise UndecodableError("shape" if encoded else "truncated", "neither an array nor a map")


def _wire_event(raw: msgspec.Raw, unknown: dict[str, int]) -> _WireEvent | None:
    is_array = _is_array(raw)
    try:
        event: _WireEvent = _array_events.decode(raw) if is_array else _map_events.decode(raw)
    except msgspec.ValidationError:
        tag = (_array_heads.decode(raw) if is_array else _map_heads.decode(raw)).type
        if tag in _TAGS:
            raise
        _count(tag, unknown)
        return None
    return event


def _count(tag: str, unknown: dict[str, int]) -> None:
    tag = tag[:_MAX_TAG_LENGTH]
    if tag not in unknown and len(unknown) >= MAX_UNKNOWN_TAGS:
        tag = ""
    unknown[tag] = unknown.get(tag, 0) + 1


def _check_sizes(events: Iterable[_WireEvent]) -> None:
    blocks = tokens = 0
    for event in events:
        if isinstance(event, _Stored):
            tokens += len(event.token_ids)
            blocks += len(event.block_hashes)
        elif isinstance(event, _Removed):
            blocks += len(event.block_hashes)
    if blocks > MAX_BLOCKS or tokens > MAX_TOKENS:
        limits = f"at most {MAX_BLOCKS} and {MAX_TOKENS} are read"
        raise UndecodableError("too-large", f"a batch of {blocks} blocks and {tokens} tokens; {limits}")


def _event(event: _WireEvent) -> KVEvent:
    if isinstance(event, _Stored):
        return _stored(event)
    if isinstance(event, _Removed):
        return BlocksRemoved(_hashes(event.block_hashes), _medium(event.medium), event.group_idx or 0)
    return AllCleared()


def _stored(event: _Stored) -> BlocksStored:
    if event.block_size < 0:
        raise UndecodableError("field", f"block_size must be at least 0, got {event.block_size}")
    extras, salt = read_extra_keys(
        event.extra_keys,
        blocks=len(event.block_hashes),
        lora_name=event.lora_name,
        starts_chain=event.parent_block_hash is None,
        has_group=event.group_idx is not None,
    )
    return BlocksStored(
        hashes=_hashes(event.block_hashes),
        parent=None if event.parent_block_hash is None else _folded(event.parent_block_hash),
        token_ids=_token_bytes(event.token_ids),
        block_size=event.block_size,
        medium=_medium(event.medium),
        lora_name=_adapter(event),
        extras=extras,
        salt=salt,
        group=event.group_idx or 0,
        kind=_name("kv_cache_spec_kind", event.kv_cache_spec_kind or ""),
    )


def _hashes(hashes: Sequence[_Hash]) -> tuple[int, ...]:
    return tuple([_folded(value) for value in hashes])


def _folded(value: _Hash) -> int:
    if isinstance(value, int):
        return value & _UINT64
    if not value:
        raise UndecodableError("field", "a block hash has no bytes")
    return int.from_bytes(value[-8:], "big")


def _token_bytes(token_ids: Sequence[int]) -> bytes:
    tokens = array("I", token_ids)
    if sys.byteorder == "big":
        tokens.byteswap()
    return tokens.tobytes()


def _medium(medium: str | None) -> str:
    return _name("medium", medium).upper() if medium else _DEFAULT_MEDIUM


def _adapter(event: _Stored) -> str | None:
    if event.lora_name:
        return _name("lora_name", event.lora_name)
    return None if event.lora_id is None else f"lora-id:{event.lora_id}"


def _name(field: str, text: str) -> str:
    if len(text) > MAX_NAME_LENGTH:
        raise UndecodableError("too-large", f"{field} of {len(text)} characters; at most {MAX_NAME_LENGTH} are read")
    return text
