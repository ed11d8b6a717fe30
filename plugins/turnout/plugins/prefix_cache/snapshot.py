"""A file that holds what is known of each endpoint, so that a restarted picker need not learn it again.

Format: one msgpack array of a mark, a version, the kind of content, the time of writing in seconds since 1970, and a
map of endpoint names to bytes that only their writer understands. A file is replaced as a whole or not at all.
"""

import asyncio
import logging
import sys
import time
from array import array
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec

from turnout.plugins.whole_file import replace_file

T = TypeVar("T")

MARK = "turnout-snapshot"
VERSION = 1

MAX_FILE_BYTES = 256 * 1024 * 1024
"""A longer file is not read: ours holds 8 bytes a block, so this is ten times what the default bound allows."""

MAX_AGE_SECONDS = 3600.0
"""What engines held an hour ago says little about now."""

BYTES_OF_A_NUMBER = 8

_log = logging.getLogger(__name__)


def packed(numbers: Iterable[int]) -> bytes:
    """64-bit numbers, 8 bytes each, little-endian."""
    return _little_endian(array("Q", numbers)).tobytes()


def unpacked(encoded: bytes) -> "array[int]":
    """The numbers that ``packed`` wrote; the length is a multiple of 8."""
    return _little_endian(array("Q", encoded))


def _little_endian(numbers: "array[int]") -> "array[int]":
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


class SnapshotError(ValueError):
    """The file is no snapshot of this kind; the message says why."""


class _Document(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    mark: str
    version: int
    kind: str
    saved_at: float
    endpoints: dict[str, bytes]


def decoded(content: bytes, kind: type[T]) -> T:
    """The content of one endpoint, which its writer encoded as msgpack.

    Raises:
        SnapshotError: it makes no sense.
    """
    try:
        return msgspec.msgpack.decode(content, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise SnapshotError(f"the content of an endpoint is damaged: {error}") from None


def write_snapshot(path: Path, kind: str, endpoints: Mapping[str, bytes], saved_at: float) -> None:
    """Writes the file beside ``path`` and moves it there. Blocks: call it in a thread.

    Raises:
        OSError: the file cannot be written; the one before it stays.
    """
    encoded = msgspec.msgpack.encode(_Document(MARK, VERSION, kind, saved_at, dict(endpoints)))
    replace_file(path, encoded)


def read_snapshot(path: Path, kind: str, now: float, max_bytes: int = MAX_FILE_BYTES) -> Mapping[str, bytes]:
    """The content by endpoint name; ``now`` is in seconds since 1970. Blocks: call it in a thread.

    Raises:
        OSError: the file cannot be read.
        SnapshotError: it is too long, damaged, too old, from the future, or of another kind or version.
    """
    with path.open("rb") as file:
        encoded = file.read(max_bytes + 1)
    if len(encoded) > max_bytes:
        raise SnapshotError(f"it is longer than {max_bytes} bytes")
    try:
        document = msgspec.msgpack.decode(encoded, type=_Document)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise SnapshotError(f"it is damaged or no snapshot: {error}") from None
    _check(document, kind, now)
    return document.endpoints


def _check(document: _Document, kind: str, now: float) -> None:
    if (document.mark, document.version) != (MARK, VERSION):
        raise SnapshotError(f"it is not in format {MARK} {VERSION}")
    if document.kind != kind:
        raise SnapshotError(f"it holds {document.kind[:80]!r}, not {kind!r}")
    if not -MAX_AGE_SECONDS <= now - document.saved_at <= MAX_AGE_SECONDS:
        raise SnapshotError("it was not written within the last hour")


@dataclass(slots=True)
class SnapshotKeeper:
    """Reads the file once and writes it again and again; what is wrong with it is logged and otherwise ignored.

    ``restore`` takes the content of one endpoint and raises ``ValueError`` if it makes no sense; ``copy`` gives the
    content of all. Both run on the event loop and must yield to it between steps of a few milliseconds.
    """

    path: Path
    kind: str
    interval_seconds: float
    restore: Callable[[str, bytes], Awaitable[None]]
    copy: Callable[[], Awaitable[Mapping[str, bytes]]]
    clock: Callable[[], float] = time.time
    _was_read: bool = field(default=False, init=False)
    _failing: bool = field(default=False, init=False)

    async def run(self) -> None:
        """Until cancelled; another call goes on without reading the file again."""
        await self.load_once()
        while True:
            await asyncio.sleep(self.interval_seconds)
            await self.save()

    async def load_once(self) -> None:
        """Reads the file, the first time that it is called."""
        if not self._was_read:
            self._was_read = True
            await self.load()

    async def load(self) -> None:
        """Reads the file, if there is one, and restores what makes sense of it."""
        try:
            endpoints = await asyncio.to_thread(read_snapshot, self.path, self.kind, self.clock())
            for name, content in endpoints.items():
                await self.restore(name, content)
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            _log.warning("%s is ignored: %s", self.path, error)

    async def save(self) -> None:
        """Writes the file; of failures in a row the first is logged."""
        try:
            await asyncio.to_thread(write_snapshot, self.path, self.kind, await self.copy(), self.clock())
        except OSError as error:
            if not self._failing:
                _log.warning("%s cannot be written: %s", self.path, error)
            self._failing = True
        else:
            self._failing = False
