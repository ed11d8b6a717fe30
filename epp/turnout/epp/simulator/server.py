"""Starts and stops one simulated server: the engine, its HTTP endpoints and its KV events."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable, Sequence

from aiohttp import web

from turnout.epp.simulator.blocks import CacheEvent
from turnout.epp.simulator.driver import EngineDriver
from turnout.epp.simulator.engine import Engine
from turnout.epp.simulator.faults import FaultInjector
from turnout.epp.simulator.kv_events import EventEncoder, KVEventPublisher
from turnout.epp.simulator.metrics_page import AdapterSeries, MetricsPage
from turnout.epp.simulator.options import SimServerOptions
from turnout.epp.simulator.remote_prefill import RemotePrefill
from turnout.epp.simulator.routes import SimRoutes

logger = logging.getLogger(__name__)

_MAX_BODY_BYTES = 64 * 2**20
_SHUTDOWN_SECONDS = 0.05
"""How long `close` lets answers in progress go on: a simulated replica has nothing to lose."""


class RunningSimServer:
    """A server that accepts requests, until `close`."""

    def __init__(
        self,
        host: str,
        port: int,
        runner: web.AppRunner,
        engine_task: asyncio.Task[None],
        remote: RemotePrefill,
        publisher: KVEventPublisher | None,
    ) -> None:
        self.port = port
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        self.kv_events_port = publisher.port if publisher is not None else None
        self.kv_replay_port = publisher.replay_port if publisher is not None else None
        self._runner = runner
        self._engine_task = engine_task
        self._remote = remote
        self._publisher = publisher

    async def wait_failed(self) -> None:
        """Wait until the engine stops by itself, which it only does by a defect; raises what stopped it."""
        await asyncio.shield(self._engine_task)

    async def close(self) -> None:
        """Stop listening, drop requests in progress and free all ports."""
        await self._runner.cleanup()
        await self._remote.close()
        self._engine_task.cancel()
        await asyncio.wait([self._engine_task])
        if self._publisher is not None:
            await self._publisher.close()


async def start_sim_server(options: SimServerOptions, *, crash: Callable[[], None] | None = None) -> RunningSimServer:
    """Start a simulated server on the running event loop; the caller must close it.

    `crash` is called when a crash fault strikes; without it the process exits with status 1.

    Raises:
        OSError: an address cannot be bound.

    """
    engine = Engine(options.engine_config())
    faults = FaultInjector(options.fault, options.seed, crash or _exit_process)
    adapters = AdapterSeries() if options.lora_names else None
    followers = _StepFollowers(engine, options, adapters)
    driver = EngineDriver(engine, options.time_scale, lambda: faults.slowdown, followers.follow)
    remote = RemotePrefill(
        engine, options.kv_links, options.kv_bytes_per_token * options.block_size, options.time_scale
    )
    page = MetricsPage(options.engine_config(), engine.snapshot, adapters, time.time(), remote.snapshot)
    application = SimRoutes(options, engine, driver, faults, page, remote).application(_MAX_BODY_BYTES)
    # Cancellation of the handler is how a client's disconnect reaches the engine.
    runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, options.host, options.port).start()
        address, port = runner.addresses[0][:2]
        publisher = followers.publish(address, port)
    except OSError:
        await runner.cleanup()
        raise
    engine_task = asyncio.get_running_loop().create_task(driver.run())
    return RunningSimServer(options.host, port, runner, engine_task, remote, publisher)


async def serve_sim_servers(
    several: Sequence[SimServerOptions], on_ready: Callable[[Sequence[RunningSimServer]], None] | None = None
) -> None:
    """Serve until SIGINT or SIGTERM; `on_ready` is called once all of them accept requests.

    Raises:
        OSError: an address cannot be bound.

    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        servers = []
        for options in several:
            servers.append(await start_sim_server(options))
            stack.push_async_callback(servers[-1].close)
            logger.info("simulated model server %s on %s", options.model, servers[-1].url)
        if on_ready is not None:
            on_ready(servers)
        waits = [loop.create_task(stop.wait()), *(loop.create_task(server.wait_failed()) for server in servers)]
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in waits:
                task.cancel()


class _StepFollowers:
    """What happens after each engine step: adapters are noted, cache events published."""

    def __init__(self, engine: Engine, options: SimServerOptions, adapters: AdapterSeries | None) -> None:
        self._engine = engine
        self._options = options
        self._adapters = adapters
        self._encoder = EventEncoder(options.block_size, options.lora_names)
        self._publisher: KVEventPublisher | None = None

    def publish(self, address: str, http_port: int) -> KVEventPublisher | None:
        """Open the sockets for cache events on an IP address, if the options ask for them."""
        options = self._options
        if options.kv_events_port is None:
            return None
        topic = options.kv_events_topic
        if topic is None:
            topic = f"kv@{options.host}:{http_port}@{options.model}"
        self._publisher = KVEventPublisher(address, options.kv_events_port, options.kv_replay_port, topic)
        return self._publisher

    def follow(self, events: Sequence[CacheEvent]) -> None:
        """Take note of one finished step."""
        if self._adapters is not None:
            snapshot = self._engine.snapshot()
            self._adapters.record(snapshot.running_adapters, snapshot.waiting_adapters, time.time())
        if events and self._publisher is not None:
            self._publisher.publish(self._encoder.encode(events, time.time()))


def _exit_process() -> None:
    os._exit(1)
