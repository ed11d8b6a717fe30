"""One ext_proc stream: moves messages between the gRPC stream, the session and the request handler.

Theory of operation. Messages are read one at a time. While a decision is awaited the stream is read on, because only
so does a client that went away show: Envoy may close its side in good order and reset the stream a second later. An
exchange that came too late to be answered with is finished at once, for its end will not be reported by anyone.

An eviction comes from outside while the stream, as a rule, waits for the proxy's next message. It interrupts that
wait by a timeout without a deadline that is made due, and its reply is the stream's last. Only the waits of evictable
requests can be interrupted, only they pay for it, and nothing but a wait is: a write is never cut off.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import TypeAlias

from turnout.epp.extproc.session import Session, SessionOptions, StreamEnd
from turnout.epp.extproc.values import Abandon, Action, Received, Reply, RouteRequest
from turnout.epp.requests.exchange import Exchange, RequestHandler, RouteOutcome
from turnout.framework import Refusal, Termination

logger = logging.getLogger(__name__)

Read: TypeAlias = Callable[[], Coroutine[None, None, Received | None]]
"""The next message, or None when the proxy has closed its side."""
Write: TypeAlias = Callable[[Reply], Coroutine[None, None, None]]
"""Sends a message; raises ``ProxyGoneError`` when that is too late."""


class ProxyGoneError(Exception):
    """A message could not be sent: the proxy has dropped the stream."""


class Stream:
    """Serves one stream to its end."""

    def __init__(self, handler: RequestHandler, read: Read, write: Write) -> None:
        self._handler = handler
        self._read = read
        self._write = write
        self._reading: asyncio.Future[Received | None] | None = None
        self._proxy_closed = False
        self._session: Session | None = None
        self._evictable: Exchange | None = None
        self._waiting: asyncio.Timeout | None = None
        self._last_words: list[Reply] = []
        self._released = False

    @property
    def request_id(self) -> str:
        """The request id that the proxy sent, or an empty string."""
        return self._session.request_id if self._session else ""

    def release(self) -> bool:
        """Ends the stream as soon as nothing but an eviction could still come of it; True if that is now.

        The response goes on without it, and its request cannot be evicted any more.
        """
        self._released = True
        if self._session is None or not self._session.said_all:
            return False
        self._interrupt()
        return True

    async def run(self, options: SessionOptions, *, lease: str = "") -> None:
        """Returns when the conversation is over, from either side; ``lease`` is as in ``RequestHead``.

        Raises:
            ProtocolError: the proxy broke the order of messages, or wants a mode that cannot be served.
        """
        first = await self._read()
        if first is None:
            return
        session = self._session = Session(
            self._handler.refuse_early,
            options,
            first.protocol,
            observe_only=first.observe_only,
            lease=lease,
        )
        end = StreamEnd.FAILED
        try:
            await self._converse(session, first)
            for reply in self._last_words:
                await self._write(reply)
            end = StreamEnd.CLOSED
        except ProxyGoneError:
            end = StreamEnd.CLOSED
        except asyncio.CancelledError:
            end = StreamEnd.CLOSED
            raise
        finally:
            if self._evictable is not None:
                self._evictable.evictor = None
            session.closed(end)
            if self._reading is not None:
                self._reading.cancel()

    async def _converse(self, session: Session, first: Received) -> None:
        message: Received | None = first
        while message is not None:
            route = await self._act(session.receive(message))
            if route is not None:
                await self._decide(session, route)
            if session.done or self._proxy_closed or (self._released and session.said_all):
                return
            message = await self._next()

    async def _next(self) -> Received | None:
        reading, self._reading = self._reading, None
        if self._evictable is None:
            return await (reading or self._read())
        try:
            async with asyncio.timeout(None) as self._waiting:
                return await (reading or self._read())
        except TimeoutError:
            return None
        finally:
            self._waiting = None

    def _interrupt(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.reschedule(asyncio.get_running_loop().time())

    def _evict(self, refusal: Refusal) -> bool:
        replies = self._session.evicted(refusal) if self._session is not None else []
        if not replies:
            return False
        self._last_words = replies
        self._interrupt()
        return True

    async def _act(self, actions: list[Action]) -> RouteRequest | None:
        route = None
        for action in actions:
            if isinstance(action, RouteRequest):
                route = action
            elif not isinstance(action, Abandon):
                await self._write(action)
        return route

    async def _decide(self, session: Session, route: RouteRequest) -> None:
        deciding = asyncio.ensure_future(self._handler.route(route.head, route.body))
        try:
            wanted = await self._is_decided(session, deciding)
        except BaseException:
            # Also after an illegal message: a decision that nobody takes would count as in flight for ever.
            await _withdraw(deciding)
            raise
        if not wanted:
            await _withdraw(deciding)
            return
        try:
            replies = session.decided(deciding.result())
            self._become_evictable(deciding.result())
            for reply in replies:
                await self._write(reply)
        except (asyncio.CancelledError, ProxyGoneError):
            await _withdraw(deciding)
            raise

    def _become_evictable(self, outcome: RouteOutcome) -> None:
        if not isinstance(outcome, Refusal) and outcome.evictable:
            self._evictable = outcome
            outcome.evictor = self._evict

    async def _is_decided(self, session: Session, deciding: asyncio.Future[RouteOutcome]) -> bool:
        """Waits for the decision and reads on; False when it is not wanted any more."""
        # Most decisions wait for nothing and are there after one turn of the loop: no need to listen meanwhile.
        await asyncio.sleep(0)
        while not deciding.done():
            reading = self._reading = self._reading or asyncio.ensure_future(self._read())
            await asyncio.wait((deciding, reading), return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                continue
            self._reading = None
            message = reading.result()
            if message is None:
                self._proxy_closed = True
                return False
            await self._act(session.receive(message))
            if not session.awaits_decision:
                return False
        return True


async def _withdraw(deciding: asyncio.Future[RouteOutcome]) -> None:
    deciding.cancel()
    await asyncio.wait((deciding,))
    if deciding.cancelled():
        return
    error = deciding.exception()
    if error is not None:
        logger.warning("a decision that was withdrawn failed", exc_info=error)
        return
    outcome = deciding.result()
    if not isinstance(outcome, Refusal):
        outcome.finish(Termination.CLIENT_DISCONNECT)
