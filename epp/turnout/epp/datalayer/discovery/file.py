"""Endpoints from a file, which may be replaced while the Endpoint Picker runs."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from watchfiles import awatch

from turnout.epp.datalayer.discovery.listing import MAX_BYTES, parse_endpoints
from turnout.framework import EndpointSpec

_log = logging.getLogger(__name__)

# A change that the watch cannot see (of what a link elsewhere points to, on a network file system, or before the
# watch began) is found after this long at the latest.
_LOOK_AGAIN_MILLISECONDS = 5000


class FileDiscovery:
    """Publishes the endpoints of a YAML or JSON file, at most 1 MiB, and with ``watch_file`` each new version.

    A version is taken whole or not at all: one that has any problem is logged, counted in
    ``rejected_versions``, and changes nothing.
    """

    def __init__(self, path: str, watch_file: bool = False) -> None:
        if not path:
            raise ValueError("path: must not be empty")
        self._path = Path(path)
        self._watch_file = watch_file
        self._content: bytes | None = None
        self.rejected_versions = 0

    async def discover(self, publish: Callable[[Sequence[EndpointSpec]], Awaitable[None]]) -> None:
        """Publishes the file's endpoints, then new versions of it, until cancelled.

        Raises:
            ValueError: the file cannot be read at the start, or has problems; the message names them all.
        """
        try:
            self._content = await asyncio.to_thread(self._read)
            specs = await asyncio.to_thread(parse_endpoints, self._content)
        except (OSError, ValueError) as error:
            raise ValueError(f"endpoints file {self._path}: {error}") from error
        await publish(specs)
        if not self._watch_file:
            await asyncio.Event().wait()
        # The folder is watched and not the file: a file that is replaced is another file, and Kubernetes changes
        # a mounted ConfigMap by replacing a link beside it.
        async for _ in awatch(
            self._path.absolute().parent,
            watch_filter=None,
            recursive=False,
            yield_on_timeout=True,
            rust_timeout=_LOOK_AGAIN_MILLISECONDS,
        ):
            await self._reload(publish)

    async def _reload(self, publish: Callable[[Sequence[EndpointSpec]], Awaitable[None]]) -> None:
        try:
            content = await asyncio.to_thread(self._read)
        except OSError as error:
            if self._content is not None:
                self._reject(None, error)
            return
        if content == self._content:
            return
        try:
            specs = await asyncio.to_thread(parse_endpoints, content)
        except ValueError as error:
            self._reject(content, error)
            return
        self._content = content
        _log.info("endpoints file %s: took a new version with %d endpoints", self._path, len(specs))
        await publish(specs)

    def _read(self) -> bytes:
        with self._path.open("rb") as file:
            return file.read(MAX_BYTES + 1)

    def _reject(self, content: bytes | None, error: Exception) -> None:
        self._content = content  # a bad version is reported once, however often it is looked at
        self.rejected_versions += 1
        _log.error("endpoints file %s: kept the last good version: %s", self._path, error)
