"""The Endpoint Picker process: builds the rooms, joins them, and lives until it is told to stop.

The only module that knows all of them. Everything runs on one event loop.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from turnout.config import DEFAULT_CONFIG, ConfigError, Pipeline, load_pipeline, load_pipeline_file
from turnout.epp.admin.autoscaling_pages import add_autoscaling_pages
from turnout.epp.admin.pages import AdminSources, admin_app
from turnout.epp.admin.queue_pages import QueueSources, add_queue_pages
from turnout.epp.admin.server import start_admin
from turnout.epp.admin.sla_pages import SlaSources, add_sla_pages
from turnout.epp.config_file import content_changes
from turnout.epp.datalayer.discovery.resolve import Resolver
from turnout.epp.datalayer.discovery.static import StaticDiscovery, parse_endpoint
from turnout.epp.datalayer.layer import DataLayer
from turnout.epp.datalayer.notifications import Notifications
from turnout.epp.datalayer.store import EndpointStore
from turnout.epp.extproc.health import HealthServer, Readiness
from turnout.epp.extproc.server import ExtProcOptions, ExtProcServer
from turnout.epp.extproc.session import ResponseView, SessionOptions
from turnout.epp.extproc.stats import StreamStats
from turnout.epp.extproc.tls import CertificateError, ServingTls
from turnout.epp.flowcontrol.admissions import Admissions
from turnout.epp.gateway.accesslog import AccessLogService, RequestEnd
from turnout.epp.gateway.eds import EdsFile
from turnout.epp.gateway.options import Address
from turnout.epp.observe.decisions import DecisionLog
from turnout.epp.observe.diagnoses import Diagnoses
from turnout.epp.observe.events import EventHub
from turnout.epp.observe.fanout import Observers
from turnout.epp.observe.logs import RefusalLog
from turnout.epp.observe.metrics import Metrics
from turnout.epp.observe.page import MetricsPage
from turnout.epp.observe.promises import Promises
from turnout.epp.observe.scaling import ScalingAdvices
from turnout.epp.observe.streams import StreamMetrics
from turnout.epp.observe.timed import timed_scheduler
from turnout.epp.options import EppOptions
from turnout.epp.reload_limits import at_the_next_start
from turnout.epp.requests.director import Director, DirectorOptions
from turnout.epp.requests.endings import logged_end
from turnout.epp.requests.leases import LeaseBook
from turnout.epp.runnables import Runnables
from turnout.epp.time_of_day import machine_clock, unix_at_zero
from turnout.framework import SLA_VIOLATION, EndpointDiscovery, EndpointSpec, Named

_log = logging.getLogger(__name__)

FIRST_LISTING_SECONDS = 30.0
SWEEP_SECONDS = 10.0
REVIEW_SECONDS = 15.0
ADVICE_SECONDS = 2.0
# How long streams that are still open when the drain window ends may go on.
OPEN_STREAMS_SECONDS = 30.0


class StartError(Exception):
    """The process cannot start or go on; the message says what is missing."""


def read_pipeline(options: EppOptions, previous: Pipeline | None = None) -> Pipeline:
    """The pipeline of the configuration that the options name, or of the field's default.

    Its plugins are told the time of day as the machine has it, or go on with the clock of ``previous``.

    Raises:
        ConfigError: it has problems; all of them are in the message.
    """
    clock = machine_clock() if previous is None else previous.wall_clock
    if options.config_file is not None:
        return load_pipeline_file(options.config_file, previous=previous, wall_clock=clock)
    text = options.config_text if options.config_text is not None else DEFAULT_CONFIG
    source = "--config-text" if options.config_text else "default"
    return load_pipeline(text, source=source, previous=previous, wall_clock=clock)


async def static_specs(endpoints: Sequence[str]) -> Sequence[EndpointSpec]:
    """Endpoints from the command line, host names resolved.

    Raises:
        StartError: an address cannot be read or resolved.
    """
    return await Resolver().resolve(_static_discovery(endpoints).specs)


def _static_discovery(endpoints: Sequence[str]) -> StaticDiscovery:
    try:
        return StaticDiscovery([parse_endpoint(text) for text in endpoints])
    except ValueError as error:
        raise StartError(str(error)) from None


class EndpointPicker:
    """One Endpoint Picker. Start it once, stop it once."""

    def __init__(self, options: EppOptions, pipeline: Pipeline, clock: Callable[[], float] = time.monotonic) -> None:
        self._options = options
        self._pipeline = pipeline
        self._clock = clock
        self._store = EndpointStore(clock)
        self._metrics = Metrics(options.metrics_prefix, pool_name=options.pool_name)
        self._metrics.watch_pool(self._store)
        self._decisions = DecisionLog(sample_rate=options.explain_sample_rate)
        self._leases = LeaseBook()
        self._observers = Observers(self._metrics, RefusalLog())
        failed = partial(self._observers.plugin_failed, "")
        self._runnables = Runnables(failed)
        self._admissions = Admissions(self._store, self._metrics.flow, failed, clock, pipeline)
        self._metrics.watch_queue(self._admissions.limits)
        self._store.on_load_change(self._admissions.wake)
        self._store.on_membership_change(self._admissions.wake)
        self._director = self._make_director()
        self._layer = DataLayer(
            self._store,
            self._discovery(),
            pipeline.sources,
            clock,
            refresh_seconds=options.refresh_metrics_interval,
        )
        self._metrics.watch_scrapes(self._layer.counters, self._type_of)
        self._metrics.watch_plugins(lambda: self._pipeline.plugins, self._type_of)
        self._notifications = Notifications(self._store, failed)
        self._diagnoses = Diagnoses(lambda: self._pipeline.diagnosed, self._store.snapshot, clock, failed)
        self._metrics.watch_findings(self._diagnoses, self._type_of)
        self._advices = ScalingAdvices(lambda: self._pipeline.plugins, self._store.snapshot, clock, failed)
        self._metrics.watch_advice(self._advices, self._type_of)
        promises = Promises(lambda: self._pipeline.plugins, clock, failed)
        self._sla = SlaSources(promises.ask, EventHub(SLA_VIOLATION, failed))
        self._readiness = Readiness(self._layer.ready.is_set)
        self._server = self._make_server()
        self._tasks: list[asyncio.Task[None]] = []
        self._open = contextlib.AsyncExitStack()
        self.metrics_port = options.metrics_port

    @property
    def grpc_port(self) -> int:
        """The port of ext_proc, once started."""
        return self._server.port

    async def start(self) -> None:
        """Returns when requests are served.

        Raises:
            StartError: there is no first listing of endpoints, the certificate cannot be used, or a port is taken.
            OSError: a port is taken.
        """
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        _log_warnings(self._pipeline)
        self._keep_eds_file()
        self._tasks.append(asyncio.create_task(self._layer.run()))
        await self._first_listing()
        self._notifications.watch(self._pipeline.watchers)
        self._sla.violations.follow(self._pipeline.plugins)
        self._runnables.run(self._pipeline.runnables)
        health = HealthServer(self._readiness, host=self._options.host, port=self._options.grpc_health_port)
        await _on_port(health.start())
        self._open.push_async_callback(health.stop)
        await _on_port(self._server.start())
        pages = admin_app(self._admin_sources())
        add_sla_pages(pages, self._sla)
        add_autoscaling_pages(pages, lambda: self._advices.latest)
        changes = self._admissions.reprioritise if self._options.allow_queue_changes else None
        add_queue_pages(pages, QueueSources(self._admissions.status, changes))
        admin = await start_admin(pages, self._options.host, self._options.metrics_port)
        self._open.push_async_callback(admin.close)
        self.metrics_port = admin.port
        regular = ((SWEEP_SECONDS, self._sweep), (REVIEW_SECONDS, self._diagnoses.review))
        for seconds, work in (*regular, (ADVICE_SECONDS, self._advices.ask)):
            self._tasks.append(asyncio.create_task(_every(seconds, work)))
        if self._options.watch_config and self._options.config_file is not None:
            self._tasks.append(asyncio.create_task(self._reload_on_change(self._options.config_file)))

    async def stop(self) -> None:
        """Stops at once."""
        await self._server.stop()
        await self._open.aclose()
        await _cancelled([*self._tasks, *self._runnables.tasks])

    async def drain(self) -> None:
        """Health goes down at once; the window over, new requests are refused and open ones get some time to end."""
        window = self._options.drain_timeout
        _log.info("draining for %g s", window)
        self._readiness.drain()
        await asyncio.sleep(window)
        self._director.draining = True
        self._admissions.close()
        await self._server.stop(min(window, OPEN_STREAMS_SECONDS))
        await self.stop()

    async def failed(self) -> None:
        """Returns never; raises what ended a part that has to live as long as the process."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        raise StartError("a part of the Endpoint Picker ended by itself")

    def reload(self) -> bool:
        """Reads the configuration again; a bad one changes nothing, is logged, and gives False.

        Requests in flight finish on the pipeline they began with. Plugins whose parameters stay keep their state.
        """
        try:
            fresh = read_pipeline(self._options, previous=self._pipeline)
        except ConfigError as error:
            _log.error("the configuration was not reloaded; the old one stays. %s", error)
            return False
        for limit in at_the_next_start(self._pipeline, fresh):
            _log.warning("%s", limit)
        _log_warnings(fresh)
        self._pipeline = fresh
        self._director.pipeline = self._timed(fresh)
        self._admissions.configure(fresh)
        self._director.admission = self._admissions.current
        self._layer.configure(fresh.sources)
        self._notifications.watch(self._pipeline.watchers)
        self._sla.violations.follow(self._pipeline.plugins)
        self._runnables.run(self._pipeline.runnables)
        _log.info("the configuration was reloaded")
        return True

    # --- assembly ----------------------------------------------------------------------------------------

    def _make_director(self) -> Director:
        options = self._options
        return Director(
            self._timed(self._pipeline),
            self._store,
            self._observers,
            self._decisions,
            self._leases,
            self._admissions.current,
            self._clock,
            DirectorOptions(
                max_request_body_bytes=options.max_request_body_bytes,
                emit_endpoint_scores=options.emit_endpoint_scores,
                disable_subset_filter=options.disable_endpoint_subset_filter,
                fallback_endpoints=options.fallback_endpoints,
            ),
        )

    def _timed(self, pipeline: Pipeline) -> Pipeline:
        types = {name: origin.type for name, origin in pipeline.origins.items()}
        return replace(pipeline, scheduler=timed_scheduler(pipeline.scheduler, self._metrics, types, time.perf_counter))

    def _make_server(self) -> ExtProcServer:
        options = self._options
        streams = (
            StreamMetrics(options.metrics_prefix, self._metrics.registry)
            if options.enable_grpc_stream_metrics
            else None
        )
        return ExtProcServer(
            self._director,
            ExtProcOptions(
                host=options.host,
                port=options.grpc_port,
                tls=ServingTls(options.cert_path, options.enable_cert_reload) if options.secure_serving else None,
                session=SessionOptions(options.max_request_body_bytes, view=self._response_view()),
                max_receive_bytes=options.grpc_max_recv_msg_size,
                health_checking=options.health_checking,
            ),
            self._readiness,
            stats=StreamStats(streams),
            services=[AccessLogService(self._request_ended).add_to],
        )

    def _type_of(self, plugin: str) -> str:
        origin = self._pipeline.origins.get(plugin)
        return plugin if origin is None else origin.type

    def _response_view(self) -> ResponseView:
        pipeline = self._pipeline
        if self._options.read_responses or pipeline.reads_response_body:
            return ResponseView.ALL
        if pipeline.reads_first_piece:
            return ResponseView.FIRST_PIECE
        return ResponseView.ALL if pipeline.reads_response_headers else ResponseView.NOTHING

    def _discovery(self) -> Named[EndpointDiscovery]:
        if self._options.endpoints:
            return Named(_static_discovery(self._options.endpoints), "command-line")
        if self._pipeline.discovery is None:
            raise StartError(
                "no endpoints: give --endpoint URL, or name a discovery plugin in the configuration "
                "(dataLayer.discovery.pluginRef, for example of type file-discovery)"
            )
        return self._pipeline.discovery

    def _admin_sources(self) -> AdminSources:
        return AdminSources(
            metrics=MetricsPage(self._metrics.registry, self._metrics.pool_registry),
            pool=self._store,
            decisions=self._decisions,
            config=self._effective_config,
            diagnosis=self._diagnoses.ask,
            not_ready=self._why_not_ready,
            clock=self._clock,
        )

    def _effective_config(self) -> Mapping[str, object]:
        return self._pipeline.effective.to_json()

    def _why_not_ready(self) -> str:
        if self._readiness.draining:
            return "draining"
        return "" if self._layer.ready.is_set() else "the endpoints are not known yet"

    # --- background --------------------------------------------------------------------------------------

    def _keep_eds_file(self) -> None:
        if self._options.eds_file is None:
            return
        eds = EdsFile(self._options.eds_file)

        def write() -> None:
            try:
                eds.write(Address(endpoint.address, endpoint.port) for endpoint in self._store.snapshot())
            except OSError as error:
                _log.error("the endpoint file for Envoy was not written: %s", error)

        write()
        self._store.on_membership_change(write)

    async def _first_listing(self) -> None:
        ready = asyncio.create_task(self._layer.ready.wait())
        running = self._tasks[0]
        await asyncio.wait({ready, running}, timeout=FIRST_LISTING_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if running.done():
            try:
                running.result()
            except ValueError as error:
                raise StartError(str(error)) from None
        if not self._layer.ready.is_set():
            raise StartError(f"no listing of endpoints within {FIRST_LISTING_SECONDS:g} s")

    def _sweep(self) -> None:
        # The machine's time may have been set, and a monotonic clock stands still while a machine is suspended.
        self._pipeline.wall_clock.set(unix_at_zero(self._clock))
        lost = self._leases.sweep(self._clock())
        if lost:
            _log.warning("the access log never reported the end of %d requests", lost)

    async def _reload_on_change(self, path: Path) -> None:
        async for _ in content_changes(path):
            self.reload()

    def _request_ended(self, end: RequestEnd) -> None:
        self._leases.ended(end.lease, logged_end(end))


def _log_warnings(pipeline: Pipeline) -> None:
    for warning in pipeline.warnings:
        _log.warning("configuration, line %s", warning)


async def _every(seconds: float, work: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(seconds)
        work()


async def _on_port(starting: Awaitable[None]) -> None:
    try:
        await starting
    except (CertificateError, RuntimeError) as error:  # RuntimeError is gRPC's way to say that a port is taken
        raise StartError(str(error)) from None


async def _cancelled(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, Exception):
            _log.debug("a background task had failed: %s", outcome)
