"""Reads the pages of a running picker, whatever it is that answers there."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar
from urllib.parse import urlsplit

import aiohttp
import msgspec

from turnout.epp.bounded_body import BodyTooLongError, read_bounded

MAX_PAGE_BYTES = 32 * 1024 * 1024
"""About ten times what the pages of a thousand endpoints take."""

TIMEOUT_SECONDS = 10.0
"""For all pages together."""

T = TypeVar("T")


class PickerNotAskedError(Exception):
    """The picker did not answer, or with something else; the message says where and what."""


class PageReader:
    """The pages behind one URL; made by ``page_reader``."""

    def __init__(self, client: aiohttp.ClientSession, base: str, max_bytes: int) -> None:
        self._client = client
        self._base = base
        self._max_bytes = max_bytes

    async def page(self, name: str, kind: type[T]) -> T:
        """The page ``/<name>`` as what its JSON says, without fields that the type does not have.

        Raises:
            PickerNotAskedError: it cannot be had or is not what it should be.
        """
        status, body = await self._get(name)
        return self._read(name, kind, status, body)

    async def optional_page(self, name: str, kind: type[T]) -> T | None:
        """The same, and None if the picker has no such page."""
        status, body = await self._get(name)
        return None if status == 404 else self._read(name, kind, status, body)

    async def status_page(self, name: str) -> str:
        """What a page says that answers 503 when something is wrong; empty if it answers 200.

        Raises:
            PickerNotAskedError: it cannot be had, or answers with another status.
        """
        status, body = await self._get(name)
        if status == 503:
            return body.decode("utf-8", "replace").strip() or "no reason given"
        self._check(name, status)
        return ""

    def _read(self, name: str, kind: type[T], status: int, body: bytes) -> T:
        self._check(name, status)
        try:
            # The standard library reads lone surrogates, which the picker's pages may have and msgspec refuses.
            return msgspec.convert(json.loads(body), kind)
        except (ValueError, RecursionError, msgspec.ValidationError) as error:
            problem = f"{self._base}/{name} is not a page of this picker's version: {error}"
            raise PickerNotAskedError(problem) from None

    def _check(self, name: str, status: int) -> None:
        if status != 200:
            problem = f"{self._base}/{name} answered {status}; is this the metrics port of a picker?"
            raise PickerNotAskedError(problem)

    async def _get(self, name: str) -> tuple[int, bytes]:
        url = f"{self._base}/{name}"
        try:
            async with self._client.get(url, allow_redirects=False) as response:
                return response.status, await read_bounded(response, self._max_bytes)
        except BodyTooLongError:
            raise PickerNotAskedError(f"{url} is longer than {self._max_bytes} bytes") from None
        except aiohttp.ClientError as error:
            raise PickerNotAskedError(f"{url} cannot be read: {str(error) or type(error).__name__}") from None


@asynccontextmanager
async def page_reader(
    url: str, max_bytes: int = MAX_PAGE_BYTES, timeout_seconds: float = TIMEOUT_SECONDS
) -> AsyncIterator[PageReader]:
    """The pages behind the URL of a picker's metrics port; the time limit is for everything that is read.

    Raises:
        ValueError: the URL is none.
        PickerNotAskedError: the time is over.
    """
    base = _checked(url)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as client:
        try:
            async with asyncio.timeout(timeout_seconds):
                yield PageReader(client, base, max_bytes)
        except TimeoutError:
            raise PickerNotAskedError(f"{base} did not answer within {timeout_seconds:g} s") from None


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"--admin-url must be http://HOST:PORT, not {url!r}")
    return url.rstrip("/")
