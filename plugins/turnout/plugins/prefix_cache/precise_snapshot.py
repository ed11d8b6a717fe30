"""What engines announced, as bytes by endpoint, with the place in the stream up to which it is true.

A copy of one endpoint is taken in one step, so that blocks and place belong together. What is put back counts for
nothing until the publisher has shown that it is still the one that announced it: the stream resumes at that place and
verifies it, which needs a replay socket.
"""

import asyncio
from collections.abc import Iterator, Mapping
from itertools import islice

import msgspec

from turnout.plugins.prefix_cache.engine_blocks import EngineBlocks
from turnout.plugins.prefix_cache.engine_index import EngineIndex, Followed, Restored
from turnout.plugins.prefix_cache.event_stream import Position
from turnout.plugins.prefix_cache.publishers import Publisher
from turnout.plugins.prefix_cache.snapshot import BYTES_OF_A_NUMBER, SnapshotError, decoded, packed, unpacked

KIND = "announced blocks 1"
"""Another number when keys of blocks are made in another way."""

BLOCKS_IN_A_STEP = 2_000


class _Shelf(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """The blocks of one rank in one tier: names and keys in the same order, and further copies by name."""

    rank: int
    tier: int
    names: bytes
    keys: bytes
    copies: dict[int, int]


class _Held(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    events: str
    replay: str
    sequence: int
    checksum: int
    history_complete: bool
    block_size: int
    groups: dict[int, int]
    shelves: list[_Shelf]


class PreciseSnapshot:
    """Copies the index for a file and puts a copy back, endpoint by endpoint."""

    def __init__(self, index: EngineIndex) -> None:
        self._index = index

    async def copy(self) -> Mapping[str, bytes]:
        """Every endpoint whose events are current and can be replayed."""
        copies = {}
        for name, followed in list(self._index.followed.items()):
            encoded = _copied(followed)
            if encoded is not None:
                copies[name] = encoded
            await asyncio.sleep(0)
        return copies

    async def restore(self, name: str, content: bytes) -> None:
        """Holds the blocks ready for when the endpoint is followed.

        Raises:
            SnapshotError: the content makes no sense.
        """
        held = _decoded(content)
        blocks = self._index.blocks_of(name)
        try:
            for shelf in held.shelves:
                await _put_back(blocks, shelf)
            blocks.resume(held.block_size, held.groups)
        except ValueError as error:
            blocks.close()
            raise SnapshotError(f"the content of an endpoint is damaged: {error}") from None
        position = Position(held.sequence, held.checksum, held.history_complete)
        self._index.restored(name, Restored(Publisher(held.events, held.replay), blocks, position))


def _copied(followed: Followed) -> bytes | None:
    position = followed.stream.position
    if position is None or not followed.is_believed or not followed.publisher.can_replay:
        return None
    blocks, publisher = followed.blocks, followed.publisher
    held = _Held(
        publisher.events,
        publisher.replay,
        position.sequence,
        position.checksum,
        followed.is_complete,
        blocks.block_size,
        blocks.groups,
        list(_shelves(blocks)),
    )
    return msgspec.msgpack.encode(held)


def _shelves(blocks: EngineBlocks) -> Iterator[_Shelf]:
    for rank, tier, shelf in blocks.announced():
        yield _Shelf(rank, tier, packed(shelf.keys), packed(shelf.keys.values()), shelf.copies)


def _decoded(content: bytes) -> _Held:
    held = decoded(content, _Held)
    for shelf in held.shelves:
        if len(shelf.names) % BYTES_OF_A_NUMBER or len(shelf.names) != len(shelf.keys):
            raise SnapshotError("the content of an endpoint is damaged: names and keys of blocks do not fit")
    return held


async def _put_back(blocks: EngineBlocks, shelf: _Shelf) -> None:
    pairs = zip(unpacked(shelf.names), unpacked(shelf.keys), strict=True)
    while step := list(islice(pairs, BLOCKS_IN_A_STEP)):
        blocks.put_back(shelf.rank, shelf.tier, step)
        await asyncio.sleep(0)
    for name, copies in shelf.copies.items():
        blocks.put_back_copies(shelf.rank, shelf.tier, name, copies)
