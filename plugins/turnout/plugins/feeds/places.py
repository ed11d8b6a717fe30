"""Reads a document from its place: one look at a time, of bounded size, and told how old it is."""

import asyncio
import os
import stat
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Protocol

import aiohttp

from turnout.plugins.feeds.source import FeedSource

# Two writes within the grain of a file system's times leave the same time behind.
_GRAIN_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Document:
    """A document as it was found. ``dated`` is when its writer wrote it, in seconds since 1970, if that is known."""

    content: bytes
    dated: float | None


class UnreadableDocumentError(Exception):
    """There is no document at the place now; the text says why."""


class Place(Protocol):
    """Where documents come from."""

    async def look(self, unix: float) -> Document | None:
        """The document, or None if it is certainly the one of the last look. ``unix`` is the time of day.

        Raises:
            UnreadableDocumentError: it cannot be read.
        """
        ...

    def forget(self) -> None:
        """The next look gives the document again, even if it is the same."""
        ...


class FilePlace:
    """A file, which may be rewritten or replaced at any time."""

    def __init__(self, source: FeedSource) -> None:
        self._path = Path(source.file)
        self._max_bytes = source.max_bytes
        self._seen: tuple[int, int, int, int] | None = None

    async def look(self, unix: float) -> Document | None:
        """The document, unless the file is as it was; work for the disk is done in a thread."""
        return await asyncio.to_thread(self.look_now, unix)

    def look_now(self, unix: float) -> Document | None:
        """The same, for those who cannot wait."""
        try:
            with open(self._path, "rb", opener=_opener) as file:
                found = os.fstat(file.fileno())
                if not stat.S_ISREG(found.st_mode):
                    raise UnreadableDocumentError("is no file")
                identity = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
                if identity == self._seen:
                    return None
                content = file.read(self._max_bytes + 1)
        except OSError as error:
            self._seen = None
            raise UnreadableDocumentError(f"cannot be read: {error.strerror}") from error
        if len(content) > self._max_bytes:
            raise UnreadableDocumentError(f"is larger than {self._max_bytes} bytes")
        settled = unix - found.st_mtime > _GRAIN_SECONDS and len(content) == found.st_size
        self._seen = identity if settled else None
        return Document(content, found.st_mtime)

    def forget(self) -> None:
        """The next look gives the document again."""
        self._seen = None


class UrlPlace:
    """A server. Whatever it does, a look ends after the timeout and holds no more than the allowed bytes."""

    def __init__(self, source: FeedSource) -> None:
        self._source = source

    async def look(self, unix: float) -> Document | None:
        """The document as the server gives it now."""
        seconds = self._source.timeout.total_seconds()
        try:
            async with asyncio.timeout(seconds):
                return await self._get()
        except TimeoutError:
            raise UnreadableDocumentError(f"did not answer within {seconds:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # The text of some errors has the whole address in it, which may be a secret.
            raise UnreadableDocumentError(f"did not answer: {type(error).__name__}") from error

    def forget(self) -> None:
        """A server is asked anew each time."""

    async def _get(self) -> Document:
        # Undone compression could make any size of a few bytes.
        async with aiohttp.ClientSession(
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
            timeout=aiohttp.ClientTimeout(),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        ) as session:
            return await self._answer(session)

    async def _answer(self, session: aiohttp.ClientSession) -> Document:
        async with session.get(self._source.url, allow_redirects=False) as response:
            if response.status != 200:
                raise UnreadableDocumentError(f"answered {response.status}")
            content = await _bounded(response, self._source.max_bytes)
            return Document(content, _dated(response.headers.get("Last-Modified", "")))


def place_of(source: FeedSource) -> Place:
    """The place that the source names."""
    return FilePlace(source) if source.file else UrlPlace(source)


def _opener(path: str, flags: int) -> int:
    # A named pipe without a writer would be waited for.
    return os.open(path, flags | os.O_NONBLOCK)


async def _bounded(response: aiohttp.ClientResponse, limit: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    async for piece in response.content.iter_any():
        size += len(piece)
        if size > limit:
            raise UnreadableDocumentError(f"is larger than {limit} bytes")
        pieces.append(piece)
    return b"".join(pieces)


def _dated(stated: str) -> float | None:
    if not stated:
        return None
    try:
        found = parsedate_to_datetime(stated)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
