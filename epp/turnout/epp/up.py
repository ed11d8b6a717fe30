"""Envoy and the Endpoint Picker together: one gateway in front of model servers, started and stopped as one."""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from turnout.config import Pipeline
from turnout.epp.gateway.eds import EdsFile
from turnout.epp.gateway.options import Address, Balanced, BalancingPolicy, Cluster, GatewayOptions, OverrideHost
from turnout.epp.gateway.process import EnvoyProcess
from turnout.epp.lifecycle import first_of, settle_memory, stop_signal
from turnout.epp.options import EppOptions
from turnout.epp.service import EndpointPicker, StartError, read_pipeline, static_specs

# With the pick, three names in the list: Envoy's three retries then never have to guess.
FALLBACK_ENDPOINTS = 2

# An hour more than the longest that a request can be deferred, to stand in line.
DEFERRAL_TIMEOUT_SECONDS = 25 * 3600.0
# The longest that Envoy takes; it does not hold in full-duplex mode.
LONGEST_MESSAGE_TIMEOUT_SECONDS = 3600.0

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class UpOptions:
    """A gateway. ``admin_port`` is Envoy's; 0 is not possible for Envoy's ports, since others must know them.

    With a ``balancing`` policy there is no Endpoint Picker: Envoy alone, for comparison.
    """

    listen: Address
    admin_port: int
    epp: EppOptions = field(default_factory=EppOptions)
    failure_mode_allow: bool = False
    balancing: BalancingPolicy | None = None
    envoy_concurrency: int = 1


def gateway_options(options: UpOptions, pipeline: Pipeline, cluster: Cluster, epp_port: int) -> GatewayOptions:
    """The cheapest Envoy configuration that serves the pipeline's plugins."""
    bodies = pipeline.reads_response_body or pipeline.reads_first_piece or options.epp.read_responses
    flow = pipeline.flow_control
    gateway = GatewayOptions(
        cluster,
        listen=options.listen,
        admin_port=options.admin_port,
        epp=Address(LOOPBACK, epp_port),
        request_body="buffered" if pipeline.reads_body else "none",
        response_headers=bodies or pipeline.reads_response_headers,
        response_body="streamed" if bodies else "none",
        max_body_bytes=options.epp.max_request_body_bytes,
        failure_mode_allow=options.failure_mode_allow,
        eviction=flow is not None and flow.enable_eviction,
    )
    if not pipeline.defers:
        return gateway
    return replace(
        gateway,
        request_body="full-duplex",
        message_timeout_seconds=LONGEST_MESSAGE_TIMEOUT_SECONDS,
        stream_idle_timeout_seconds=DEFERRAL_TIMEOUT_SECONDS,
    )


async def up(options: UpOptions, on_ready: Callable[[EndpointPicker | None], None]) -> None:
    """Serves until SIGINT or SIGTERM, or until Envoy ends by itself.

    Raises:
        StartError: an endpoint cannot be resolved, or Envoy ended while serving.
        EnvoyStartError, EnvoyNotFoundError: there is no Envoy, or it does not start (a port being taken).
        ConfigError: the configuration has problems.
        OSError: a port of the Endpoint Picker is taken.
    """
    stop = stop_signal()
    async with contextlib.AsyncExitStack() as stack:
        if options.balancing is not None:
            picker, gateway = None, await _without_picker(options, options.balancing)
        else:
            picker, gateway = await _with_picker(options, stack)
        envoy = EnvoyProcess(gateway, concurrency=options.envoy_concurrency)
        await envoy.start()
        stack.push_async_callback(envoy.stop)
        settle_memory()
        on_ready(picker)
        await _until_stopped(stop, envoy, picker)


async def _without_picker(options: UpOptions, policy: BalancingPolicy) -> GatewayOptions:
    specs = await static_specs(options.epp.endpoints)
    endpoints = tuple(Address(spec.address, spec.port) for spec in specs)
    if not endpoints:
        raise StartError(f"{policy} needs at least one --endpoint")
    return GatewayOptions(Balanced(endpoints, policy), listen=options.listen, admin_port=options.admin_port)


async def _with_picker(options: UpOptions, stack: contextlib.AsyncExitStack) -> tuple[EndpointPicker, GatewayOptions]:
    pipeline = read_pipeline(options.epp)
    folder = await stack.enter_async_context(_temporary_folder())
    eds = folder / "endpoints.json"
    EdsFile(eds).write(())
    served = replace(options.epp, eds_file=eds, fallback_endpoints=FALLBACK_ENDPOINTS)
    picker = EndpointPicker(served, pipeline)
    await picker.start()
    stack.push_async_callback(picker.stop)
    try:
        return picker, gateway_options(options, pipeline, OverrideHost(eds), picker.grpc_port)
    except ValueError as error:
        raise StartError(str(error)) from None


@contextlib.asynccontextmanager
async def _temporary_folder() -> AsyncIterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="turnout-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _until_stopped(stop: asyncio.Event, envoy: EnvoyProcess, picker: EndpointPicker | None) -> None:
    await first_of(stop.wait(), _ended(envoy), *([picker.failed()] if picker is not None else []))


async def _ended(envoy: EnvoyProcess) -> None:
    status = await envoy.wait()
    raise StartError(f"Envoy ended with status {status}: {envoy.last_words()}")
