"""Serves the topology of this machine over HTTP: ``/topology``, ``/labels``, ``/healthz``.

Everybody who asks within ``MAX_AGE_SECONDS`` of the begin of a reading gets the same one, and only one is under way at
any time, so that neither many readers nor a driver that hangs can pile up work. The pages answer GET and HEAD, read no
request body and hold no secrets.
"""

import asyncio
from collections.abc import Callable

from aiohttp import web

from turnout.epp.admin.answers import error_answer, json_answer
from turnout.epp.admin.server import start_admin
from turnout.epp.lifecycle import stop_signal
from turnout.epp.topology.endpoint_labels import labels
from turnout.epp.topology.reading import TopologyError, begin, within
from turnout.plugins.topology.document import encoded
from turnout.plugins.topology.machine import Machine

MAX_AGE_SECONDS = 2.0
TIMEOUT_SECONDS = 10.0
MAX_WAITING = 32


class BusyError(TopologyError):
    """Too many wait for the reading that is under way."""

    def __init__(self) -> None:
        super().__init__(f"{MAX_WAITING} requests wait for the NVIDIA driver already")


class SharedReading:
    """The latest reading, for everybody. ``clock`` gives seconds and never goes back."""

    def __init__(self, read: Callable[[], Machine], clock: Callable[[], float]) -> None:
        self._read = read
        self._clock = clock
        self._latest: Machine | None = None
        self._begun_at = 0.0
        self._running: asyncio.Future[Machine] | None = None
        self._waiting = 0

    async def get(self, timeout_seconds: float = TIMEOUT_SECONDS) -> Machine:
        """A reading that is at most ``MAX_AGE_SECONDS`` old.

        Raises:
            TopologyError: there is none; an older one is not passed off as new.
        """
        if self._latest is not None and self._clock() - self._begun_at <= MAX_AGE_SECONDS:
            return self._latest
        if self._waiting >= MAX_WAITING:
            raise BusyError
        self._waiting += 1
        try:
            return await within(timeout_seconds, self._running or self._begun())
        finally:
            self._waiting -= 1

    def _begun(self) -> "asyncio.Future[Machine]":
        self._begun_at = self._clock()
        self._latest = None
        self._running = begin(self._read)
        self._running.add_done_callback(self._ended)
        return self._running

    def _ended(self, running: "asyncio.Future[Machine]") -> None:
        self._running = None
        if not running.cancelled() and running.exception() is None:
            self._latest = running.result()


def agent_app(reading: SharedReading, timeout_seconds: float = TIMEOUT_SECONDS) -> web.Application:
    """The pages as an application. Without a reading they answer 503 and say why."""

    async def topology(_: web.Request) -> web.Response:
        try:
            machine = await reading.get(timeout_seconds)
        except TopologyError as error:
            return error_answer(503, str(error))
        return web.Response(body=encoded(machine) + b"\n", content_type="application/json")

    async def own_labels(_: web.Request) -> web.Response:
        try:
            return json_answer(labels(await reading.get(timeout_seconds)))
        except TopologyError as error:
            return error_answer(503, str(error))

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    app = web.Application(client_max_size=1)
    routes = (("/topology", topology), ("/labels", own_labels), ("/healthz", healthz))
    app.add_routes([web.get(path, handler) for path, handler in routes])
    return app


async def serve_agent(reading: SharedReading, host: str, port: int, on_ready: Callable[[int], None]) -> None:
    """Serves until SIGINT or SIGTERM; ``on_ready`` is given the port once requests are answered.

    Raises:
        TopologyError: there is nothing to read at the start.
        OSError: the address cannot be bound.
    """
    stop = stop_signal()
    await reading.get()
    running = await start_admin(agent_app(reading), host, port)
    on_ready(running.port)
    try:
        await stop.wait()
    finally:
        await running.close()
