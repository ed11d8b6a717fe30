"""A gateway whose requests can be taken back: a real Envoy, and a director whose running requests a test holds."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

import aiohttp

from epp.gateway.fakes import free_port
from epp.requests.fakes import Decisions, Reports
from integration.gateways import LOOPBACK, http_client, until
from turnout.config import DEFAULT_CONFIG, load_pipeline
from turnout.epp.datalayer.store import EndpointStore
from turnout.epp.extproc.health import Readiness
from turnout.epp.extproc.server import ExtProcOptions, ExtProcServer
from turnout.epp.extproc.session import ResponseView, SessionOptions
from turnout.epp.flowcontrol.legacy import LegacyAdmission
from turnout.epp.gateway.accesslog import AccessLogService, RequestEnd
from turnout.epp.gateway.options import Address, GatewayOptions, OverrideHost, RequestBodyMode
from turnout.epp.gateway.process import EnvoyProcess
from turnout.epp.requests.director import Director, DirectorOptions
from turnout.epp.requests.dispatch import Dispatch
from turnout.epp.requests.endings import logged_end
from turnout.epp.requests.exchange import RequestBody, RequestHead, RouteOutcome
from turnout.epp.requests.leases import LeaseBook
from turnout.framework import EndpointSpec, Refusal

UNREAD = """
apiVersion: turnout/v1
kind: EndpointPickerConfig
plugins: [{type: passthrough-parser}]
requestHandler: {parsers: [{pluginRef: passthrough-parser}]}
"""


class EvictingDirector:
    """Makes what its director dispatches evictable, unless told not to. Implements ``RequestHandler``."""

    def __init__(self, director: Director) -> None:
        self.dispatched: list[Dispatch] = []
        self.evictable = True
        self._director = director

    def refuse_early(self, head: RequestHead) -> Refusal | None:
        return self._director.refuse_early(head)

    async def route(self, head: RequestHead, body: RequestBody | None) -> RouteOutcome:
        outcome = await self._director.route(head, body)
        if isinstance(outcome, Dispatch):
            outcome.evictable = self.evictable
            self.dispatched.append(outcome)
        return outcome


@dataclass
class EvictingWorld:
    """All of it. ``ends`` is what Envoy's access log reported."""

    port: int
    client: aiohttp.ClientSession
    director: EvictingDirector
    server: ExtProcServer
    store: EndpointStore
    leases: LeaseBook
    reports: Reports
    ends: list[RequestEnd] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def in_flight(self) -> int:
        return sum(endpoint.in_flight for endpoint in self.store.snapshot())

    async def under_way(self, count: int = 1, *, after: int = 0) -> Sequence[Dispatch]:
        """So many dispatches, once their streams are ready to evict; ``after`` is how many others were before them."""

        async def ready() -> bool:
            sent = self.director.dispatched[after:]
            return len(sent) == count and all(one.evictor is not None for one in sent)

        await until(ready, f"{count} dispatches under way")
        return self.director.dispatched[after:]

    async def streams_over(self) -> None:
        async def over() -> bool:
            return self.server.stats.in_flight == 0

        await until(over, "every ext_proc stream at its end")


def gateway_for(request_body: RequestBodyMode, endpoints: Sequence[Address], epp_port: int) -> GatewayOptions:
    """Full duplex as the shipped file has it; else Envoy keeps the responses and reports their ends."""
    options = GatewayOptions(
        OverrideHost(tuple(endpoints)),
        listen=Address(LOOPBACK, free_port()),
        admin_port=free_port(),
        epp=Address(LOOPBACK, epp_port),
        request_body=request_body,
        eviction=True,
    )
    if request_body != "full-duplex":
        return options
    return replace(options, response_headers=True, response_body="full-duplex", access_log=False, eviction=False)


@asynccontextmanager
async def evicting_world(request_body: RequestBodyMode, urls: Sequence[str]) -> AsyncIterator[EvictingWorld]:
    """Envoy and a director in front of the URLs, in one of the modes of the request's body."""
    endpoints = [Address.parse(urlsplit(url).netloc) for url in urls]
    store, leases, reports = EndpointStore(time.monotonic), LeaseBook(), Reports()
    store.replace([EndpointSpec(f"default/{n}", at.host, at.port, {}) for n, at in enumerate(endpoints)])
    pipeline = load_pipeline(UNREAD if request_body == "none" else DEFAULT_CONFIG)
    admission = LegacyAdmission(None, store.candidates, lambda error: None, time.monotonic)
    deciding = Director(pipeline, store, reports, Decisions(), leases, admission, time.monotonic, DirectorOptions())
    director, ends = EvictingDirector(deciding), list[RequestEnd]()

    def ended(end: RequestEnd) -> None:
        ends.append(end)
        leases.ended(end.lease, logged_end(end))

    session = SessionOptions(view=ResponseView.ALL if request_body == "full-duplex" else ResponseView.NOTHING)
    server = ExtProcServer(
        director,
        ExtProcOptions(LOOPBACK, 0, None, session),
        Readiness(lambda: True),
        services=[AccessLogService(ended).add_to],
    )
    async with AsyncExitStack() as stack:
        await server.start()
        stack.push_async_callback(server.stop)
        gateway = gateway_for(request_body, endpoints, server.port)
        await stack.enter_async_context(EnvoyProcess(gateway))
        client = await stack.enter_async_context(http_client())
        yield EvictingWorld(gateway.listen.port, client, director, server, store, leases, reports, ends)
