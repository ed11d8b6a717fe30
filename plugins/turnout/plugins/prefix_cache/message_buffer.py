"""Holds live messages back until a replay has told what came before them."""

from collections import deque

MAX_BUFFERED = 4_096
MAX_BUFFERED_BYTES = 16 * 1024 * 1024


class MessageBuffer:
    """Numbered messages, oldest first, bounded in number and bytes."""

    __slots__ = ("_bytes", "_messages")

    def __init__(self) -> None:
        self._messages: deque[tuple[int, bytes]] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._messages)

    def add(self, sequence: int, payload: bytes) -> bool:
        """Appends a message; False if it does not fit, and then it is not in."""
        if len(self._messages) >= MAX_BUFFERED or self._bytes + len(payload) > MAX_BUFFERED_BYTES:
            return False
        self._messages.append((sequence, payload))
        self._bytes += len(payload)
        return True

    def pop(self) -> tuple[int, bytes]:
        """Removes the oldest message."""
        sequence, payload = self._messages.popleft()
        self._bytes -= len(payload)
        return sequence, payload

    def clear(self) -> None:
        """Removes all messages."""
        self._messages.clear()
        self._bytes = 0
