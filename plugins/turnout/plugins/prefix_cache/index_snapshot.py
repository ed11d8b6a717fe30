"""The approximate index as bytes by endpoint."""

import asyncio
import sys
from array import array
from collections.abc import Mapping
from itertools import islice

import msgspec

from turnout.plugins.prefix_cache.agreement import Agreement
from turnout.plugins.prefix_cache.index import PrefixIndex
from turnout.plugins.prefix_cache.roll_call import RollCall
from turnout.plugins.prefix_cache.snapshot import SnapshotError

KIND = "approximate prefix index 1"
"""Another number when block hashes are made in another way."""

MAX_BLOCKS = 50_000
"""Of one endpoint: more would hold up the event loop for more than a few milliseconds."""

BLOCKS_IN_A_STEP = 2_000

_BYTES = 8


class _Held(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """``blocks`` are little-endian 64-bit hashes, most recently used first; totals are -1 where the engine has none."""

    queries: float
    hits: float
    blocks: bytes


class IndexSnapshot:
    """Copies the index for a file and puts a copy back, endpoint by endpoint."""

    def __init__(self, index: PrefixIndex, agreement: Agreement, roll_call: RollCall) -> None:
        self._index = index
        self._agreement = agreement
        self._roll_call = roll_call

    async def copy(self) -> Mapping[str, bytes]:
        """The most recently used 50,000 blocks of each endpoint, and where its engine's totals stand."""
        copies = {}
        for name in self._index.endpoints():
            if name in self._index:
                copies[name] = self._copied(name)
            await asyncio.sleep(0)
        return copies

    async def restore(self, name: str, content: bytes) -> None:
        """Adds the blocks, unless the engine restarted since; where that shows later, it is dropped then.

        Raises:
            SnapshotError: the content makes no sense.
        """
        held = _decoded(content)
        if self._restarted_since(name, held):
            return
        self._agreement.resume(name, held.queries, held.hits)
        self._roll_call.expect(name)
        for end in range(len(held.blocks), 0, -BLOCKS_IN_A_STEP * _BYTES):
            chain = _hashes(held.blocks[max(0, end - BLOCKS_IN_A_STEP * _BYTES) : end])
            self._index.add(name, chain, self._index.held(name) + len(chain))
            await asyncio.sleep(0)
            if name not in self._index:
                return

    def _copied(self, name: str) -> bytes:
        queries, hits = self._agreement.engine_totals(name) or (-1.0, -1.0)
        blocks = array("Q", islice(self._index.blocks(name), MAX_BLOCKS))
        return msgspec.msgpack.encode(_Held(queries, hits, _little_endian(blocks).tobytes()))

    def _restarted_since(self, name: str, held: _Held) -> bool:
        totals = self._agreement.engine_totals(name)
        return totals is not None and (totals[0] < held.queries or totals[1] < held.hits)


def _decoded(content: bytes) -> _Held:
    try:
        held = msgspec.msgpack.decode(content, type=_Held)
    except msgspec.MsgspecError as error:
        raise SnapshotError(f"the content of an endpoint is damaged: {error}") from None
    if len(held.blocks) % _BYTES:
        raise SnapshotError("the content of an endpoint is damaged: it ends in the middle of a block")
    return held


def _hashes(encoded: bytes) -> "array[int]":
    return _little_endian(array("Q", encoded))


def _little_endian(blocks: "array[int]") -> "array[int]":
    if sys.byteorder == "big":
        blocks.byteswap()
    return blocks
