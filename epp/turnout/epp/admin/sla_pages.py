"""Pages about promises: how they are kept, and a stream of those that are not."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from aiohttp import web

from turnout.epp.admin.answers import error_answer, finite, json_answer
from turnout.epp.observe.events import Batch, EventHub, Listener, TooManyListenersError
from turnout.framework import SlaStatus, SlaWindow

_KEEP_ALIVE = b": nothing happened\n\n"
_HEADERS = {"Content-Type": "text/event-stream", "Cache-Control": "no-store"}


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a stream is silent before it sends a sign of life, and how long a listener may take nothing.

    One that left without a word is noticed when something is sent to it. Both in seconds.
    """

    keep_alive: float = 15.0
    write: float = 30.0


@dataclass(frozen=True, slots=True)
class SlaSources:
    """``statuses`` gives the targets of each plugin by its name; ``violations`` tells what broke one."""

    statuses: Callable[[], Mapping[str, Sequence[SlaStatus]]]
    violations: EventHub


def add_sla_pages(app: web.Application, sources: SlaSources, patience: Patience | None = None) -> None:
    """Adds the pages to the application; listeners are let go when it shuts down."""
    pages = _Pages(sources, patience or Patience())
    # A HEAD of a stream would be a stream.
    app.add_routes([web.get("/sla", pages.sla), web.get("/sla/events", pages.events, allow_head=False)])
    app.on_shutdown.append(pages.close)


class _Pages:
    def __init__(self, sources: SlaSources, patience: Patience) -> None:
        self._sources = sources
        self._patience = patience

    async def sla(self, request: web.Request) -> web.Response:
        statuses = self._sources.statuses()
        return json_answer({"targets": [_target(name, status) for name, own in statuses.items() for status in own]})

    async def events(self, request: web.Request) -> web.StreamResponse:
        try:
            with self._sources.violations.listen(request.headers.get("Last-Event-ID")) as listener:
                return await self._stream(request, listener)
        except TooManyListenersError as error:
            return error_answer(503, str(error))

    async def close(self, app: web.Application) -> None:
        self._sources.violations.close()

    async def _stream(self, request: web.Request, listener: Listener) -> web.StreamResponse:
        response = web.StreamResponse(headers=_HEADERS)
        await response.prepare(request)
        try:
            while (piece := await self._next(listener)) is not None:
                async with asyncio.timeout(self._patience.write):
                    await response.write(piece)
        except (TimeoutError, ConnectionError):
            # Nobody reads: what is still in the connection's buffer must not hold up its end.
            if request.transport is not None:
                request.transport.abort()
        return response

    async def _next(self, listener: Listener) -> bytes | None:
        """What to send next: events, or a sign of life after a while without any. None at the end."""
        try:
            async with asyncio.timeout(self._patience.keep_alive):
                batch = await listener.next()
        except TimeoutError:
            return _KEEP_ALIVE
        return None if batch is None else self._written(batch)

    def _written(self, batch: Batch) -> bytes:
        kind = self._sources.violations.kind.encode()
        lost = b'event: dropped\ndata: {"dropped":%d}\n\n' % batch.dropped if batch.dropped else b""
        told = (b"id: %s\nevent: %s\ndata: %s\n\n" % (one.id.encode(), kind, one.data) for one in batch.events)
        return lost + b"".join(told)


def _target(plugin: str, status: SlaStatus) -> dict[str, object]:
    return {
        "plugin": plugin,
        "target": status.target,
        "metric": status.metric,
        "percentile": finite(status.percentile),
        "selects": dict(status.selects),
        "target_seconds": None if status.target_seconds is None else finite(status.target_seconds),
        "short": _window(status.short),
        "long": _window(status.long),
        "observed_seconds": {f"{quantile:g}": finite(value) for quantile, value in status.observed_seconds.items()},
        "burning": status.is_burning,
    }


def _window(window: SlaWindow) -> dict[str, object]:
    return {
        "seconds": finite(window.seconds),
        "requests": window.requests,
        "compliance": None if window.compliance is None else finite(window.compliance),
        "burn_rate": finite(window.burn_rate),
    }
