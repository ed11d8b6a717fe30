"""Recognises the batches of a stream that were applied not long ago."""

from array import array
from typing import NamedTuple

import xxhash

REMEMBERED_BATCHES = 4_096
"""How many of the last batches are recognised; 8 bytes each."""


class Position(NamedTuple):
    """The last applied batch of a stream, enough to resume it from a snapshot.

    ``history_complete`` says whether all batches before it were applied too.
    """

    sequence: int
    checksum: int
    history_complete: bool = False


class RecentBatches:
    """Checksums of the last batches of one incarnation, whose numbers follow each other."""

    __slots__ = ("_checksums", "_count", "_last")

    def __init__(self) -> None:
        # Grown as needed: most streams of small deployments never fill it.
        self._checksums = array("Q")
        self._count = 0
        self._last = -1

    @property
    def last(self) -> Position | None:
        """The newest batch; None if there is none."""
        return Position(self._last, self._checksums[self._last % REMEMBERED_BATCHES]) if self._count else None

    def clear(self) -> None:
        """Forgets all batches."""
        self._count = 0

    def add(self, sequence: int, payload: bytes) -> None:
        """Adds the batch that follows the last one, or any batch if there is none."""
        self.restore(Position(sequence, xxhash.xxh3_64_intdigest(payload)))

    def restore(self, position: Position) -> None:
        """The same, for a batch of which only the checksum is known."""
        place = position.sequence % REMEMBERED_BATCHES
        missing = place + 1 - len(self._checksums)
        if missing > 0:
            self._checksums.extend([0] * missing)
        self._checksums[place] = position.checksum
        self._last = position.sequence
        self._count = min(self._count + 1, REMEMBERED_BATCHES)

    def has(self, sequence: int, payload: bytes) -> bool:
        """Whether this very batch was added and is still remembered."""
        if not self._last - self._count < sequence <= self._last:
            return False
        return self._checksums[sequence % REMEMBERED_BATCHES] == xxhash.xxh3_64_intdigest(payload)
