"""The approximate index as bytes by endpoint."""

import asyncio
from collections.abc import Mapping
from itertools import islice

import msgspec

from turnout.plugins.prefix_cache.agreement import Agreement
from turnout.plugins.prefix_cache.index import PrefixIndex
from turnout.plugins.prefix_cache.roll_call import RollCall
from turnout.plugins.prefix_cache.snapshot import BYTES_OF_A_NUMBER, SnapshotError, decoded, packed, unpacked

KIND = "approximate prefix index 1"
"""Another number when block hashes are made in another way."""

MAX_BLOCKS = 50_000
"""Of one endpoint: more would hold up the event loop for more than a few milliseconds."""

BLOCKS_IN_A_STEP = 2_000


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
        blocks = unpacked(held.blocks)
        for end in range(len(blocks), 0, -BLOCKS_IN_A_STEP):
            chain = blocks[max(0, end - BLOCKS_IN_A_STEP) : end]
            self._index.add(name, chain, self._index.held(name) + len(chain))
            await asyncio.sleep(0)
            if name not in self._index:
                return

    def _copied(self, name: str) -> bytes:
        queries, hits = self._agreement.engine_totals(name) or (-1.0, -1.0)
        return msgspec.msgpack.encode(_Held(queries, hits, packed(islice(self._index.blocks(name), MAX_BLOCKS))))

    def _restarted_since(self, name: str, held: _Held) -> bool:
        totals = self._agreement.engine_totals(name)
        return totals is not None and (totals[0] < held.queries or totals[1] < held.hits)


def _decoded(content: bytes) -> _Held:
    held = decoded(content, _Held)
    if len(held.blocks) % BYTES_OF_A_NUMBER:
        raise SnapshotError("the content of an endpoint is damaged: it ends in the middle of a block")
    return held
