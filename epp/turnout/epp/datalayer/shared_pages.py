"""Pages that several endpoints have in common: each host is asked once for all of them."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from itertools import takewhile

MAX_KEPT_BYTES = 32 * 1024 * 1024


@dataclass(slots=True)
class _Asked:
    """A question to a host, and when it was asked. ``size`` is that of the page in bytes, once it counts."""

    at: float
    answer: asyncio.Task[bytes]
    size: int = 0

    def is_older(self, time: float) -> bool:
        """Whether it was answered, and asked at that time or before."""
        return self.answer.done() and self.at <= time


class SharedPages:
    """Keeps what each host answered for ``seconds``, failures included.

    At most ``max_bytes`` of pages are kept: beyond that the oldest go, and their hosts are asked more often. What is
    older than ``seconds`` goes when the next host is asked.
    """

    def __init__(self, seconds: float, clock: Callable[[], float], max_bytes: int = MAX_KEPT_BYTES) -> None:
        self._seconds = seconds
        self._clock = clock
        self._max_bytes = max_bytes
        self._asked: dict[str, _Asked] = {}  # the one that was asked first is first
        self._bytes = 0

    async def page(self, host: str, fetch: Callable[[], Coroutine[None, None, bytes]]) -> bytes:
        """The host's page, by ``fetch`` if nobody asked for it lately. Who is cancelled does not spoil it for others.

        Raises:
            OSError, TimeoutError: as ``fetch``, also for those that did not ask themselves.
        """
        too_old = self._clock() - self._seconds
        asked = self._asked.get(host)
        if asked is None or asked.is_older(too_old):
            asked = self._ask(host, fetch, too_old)
        await asyncio.wait((asked.answer,))
        return asked.answer.result()

    def close(self) -> None:
        """Gives up what is under way, and forgets all pages."""
        for asked in self._asked.values():
            asked.answer.cancel()
        self._asked.clear()
        self._bytes = 0

    def _ask(self, host: str, fetch: Callable[[], Coroutine[None, None, bytes]], too_old: float) -> _Asked:
        old = takewhile(lambda item: item[1].is_older(too_old), self._asked.items())
        for other in [name for name, _ in old]:
            self._drop(other)
        self._drop(host)
        asked = self._asked[host] = _Asked(self._clock(), asyncio.create_task(fetch()))
        asked.answer.add_done_callback(partial(self._answered, host, asked))
        return asked

    def _answered(self, host: str, asked: _Asked, answer: asyncio.Task[bytes]) -> None:
        # Also looks at a failure that nobody waits for any more.
        if answer.cancelled() or answer.exception() is not None or self._asked.get(host) is not asked:
            return
        asked.size = len(answer.result())
        self._bytes += asked.size
        while self._bytes > self._max_bytes:
            self._drop(next(other for other, kept in self._asked.items() if kept.size))

    def _drop(self, host: str) -> None:
        asked = self._asked.pop(host, None)
        if asked is not None:
            self._bytes -= asked.size
