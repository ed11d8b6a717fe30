"""The metrics page as text."""

import asyncio

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

_END_OF_OPENMETRICS = b"# EOF\n"


MAX_WAITING = 8


class BusyError(Exception):
    """Too many pages are asked for at once."""


class MetricsPage:
    """Writes two registries as one page.

    A page of 100,000 lines takes a second or two. The counted registry is therefore written in a thread, one
    page at a time; the pool registry, whose values must be read on the event loop, is small.
    """

    def __init__(self, counted: CollectorRegistry, pool: CollectorRegistry) -> None:
        self._counted = counted
        self._pool = pool
        self._one_at_a_time = asyncio.Lock()
        self._waiting = 0

    async def render(self, accept: str) -> tuple[bytes, str]:
        """The page and its content type, in the format that the ``Accept`` header asks for.

        Raises:
            BusyError: eight pages are being written or waited for.
        """
        if self._waiting >= MAX_WAITING:
            raise BusyError(f"{MAX_WAITING} metrics pages are being written")
        self._waiting += 1
        try:
            async with self._one_at_a_time:
                return await self._write(accept)
        finally:
            self._waiting -= 1

    async def _write(self, accept: str) -> tuple[bytes, str]:
        try:
            encode, content_type = choose_encoder(accept)
        except (TypeError, ValueError):  # the library on a version that is no number
            encode, content_type = choose_encoder("")
        pool = encode(self._pool).removesuffix(_END_OF_OPENMETRICS)
        return pool + await asyncio.to_thread(encode, self._counted), content_type
