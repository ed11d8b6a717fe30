"""A picker's pages on a port of their own, served by another thread."""

import asyncio
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiohttp import web

from turnout.epp.admin.pages import AdminSources, admin_app
from turnout.epp.admin.server import start_admin
from turnout.epp.datalayer.store import EndpointStatus
from turnout.epp.observe.decisions import DecisionLog
from turnout.epp.observe.metrics import Metrics
from turnout.epp.observe.page import MetricsPage
from turnout.framework import Diagnosis, Endpoint, Figure, Finding
from turnout.framework.testing import make_endpoint

PRODUCER = "approx-prefix-cache-producer"

FIGURES: Mapping[str, Figure] = {
    "requests": 40,
    "predicted_cached_tokens": 52000,
    "predicted_hit_rate": 0.8125,
    "compared_requests": 20,
    "agreeing_requests": 19,
    "compared_predicted_tokens": 26000,
    "reported_cached_tokens": 25500,
    "engine_hit_rate": 0.75,
    "blocks": 1234,
}
ZERO = Finding("silent-zero-reported", "The engine reports nothing. Look at it.", "default/a")


@dataclass
class SickPicker:
    """What the pages show; may be changed while they are served."""

    diagnosis: dict[str, Diagnosis] = field(default_factory=dict)
    endpoints: Sequence[Endpoint] = (make_endpoint("a"), make_endpoint("b"))
    plugins: Sequence[Mapping[str, str]] = ({"type": PRODUCER, "name": PRODUCER},)

    def snapshot(self) -> Sequence[Endpoint]:
        return self.endpoints

    def statuses(self) -> Sequence[EndpointStatus]:
        return [
            EndpointStatus("default/a", in_service=True, reason=""),
            EndpointStatus("default/b", in_service=False, reason="connection refused"),
        ]

    def app(self) -> web.Application:
        metrics = Metrics()
        return admin_app(
            AdminSources(
                MetricsPage(metrics.registry, metrics.pool_registry),
                self,
                DecisionLog(),
                config=lambda: {"config": {"plugins": list(self.plugins)}, "injected": [], "warnings": []},
                diagnosis=lambda: self.diagnosis,
                not_ready=lambda: "",
                clock=lambda: 100.0,
            )
        )


def healthy() -> SickPicker:
    """One producer whose predictions come true."""
    return SickPicker({PRODUCER: Diagnosis((), {"default/a": FIGURES})})


def sick() -> SickPicker:
    """The same with a finding."""
    return SickPicker({PRODUCER: Diagnosis((ZERO,), {"default/a": FIGURES})})


def answering(status: int = 200, body: bytes = b"{}", *, hangs: bool = False) -> web.Application:
    """Something that is no picker."""

    async def answer(request: web.Request) -> web.Response:
        if hangs:
            await asyncio.Event().wait()
        return web.Response(status=status, body=body, headers={"Location": "/elsewhere"} if status == 302 else {})

    app = web.Application()
    app.add_routes([web.get("/{path:.*}", answer)])
    return app


@contextmanager
def served(app: web.Application) -> Iterator[str]:
    """The URL of the application, for as long as the block runs."""
    ready, loop, urls = threading.Event(), asyncio.new_event_loop(), []

    async def serve() -> None:
        running = await start_admin(app, "127.0.0.1", 0)
        urls.append(f"http://127.0.0.1:{running.port}")
        stop.append(asyncio.Event())
        ready.set()
        await stop[0].wait()
        await running.close()

    stop: list[asyncio.Event] = []
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(10.0)
        yield urls[0]
    finally:
        loop.call_soon_threadsafe(stop[0].set)
        thread.join()
        loop.close()
