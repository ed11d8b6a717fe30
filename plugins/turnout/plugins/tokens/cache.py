"""Least recently used values, bounded in bytes."""

from collections import OrderedDict
from typing import Generic, TypeVar

V = TypeVar("V")

# What an entry takes beside the content of its value: its key of 16 bytes and the objects around, measured with
# CPython 3.11.
ENTRY_BYTES = 280


class BytesLRU(Generic[V]):
    """Values by key; those used least recently leave when the sum of sizes passes ``max_bytes``.

    The size of a value is the caller's; ``ENTRY_BYTES`` are added for each.
    """

    __slots__ = ("_entries", "max_bytes", "used_bytes")

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.used_bytes = 0
        self._entries: OrderedDict[bytes, tuple[V, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: bytes) -> V | None:
        """The value, which becomes the one used last; None when there is none."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: bytes, value: V, size: int) -> None:
        """Keeps the value in place of an earlier one; one that is larger than all the room is not kept."""
        self.drop(key)
        size += ENTRY_BYTES
        if size > self.max_bytes:
            return
        self._entries[key] = (value, size)
        self.used_bytes += size
        while self.used_bytes > self.max_bytes:
            _, (_, freed) = self._entries.popitem(last=False)
            self.used_bytes -= freed

    def drop(self, key: bytes) -> None:
        """Forgets the value, if it is there."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.used_bytes -= entry[1]
