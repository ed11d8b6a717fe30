"""What sends the requests of a replay to replicas: the server's director, or a rule that proxies come with."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Protocol

from turnout.config import Pipeline, load_pipeline, load_pipeline_file
from turnout.epp.datalayer.store import EndpointStore, InFlight
from turnout.epp.flowcontrol.admissions import Admissions
from turnout.epp.flowcontrol.observer import Unobserved
from turnout.epp.observe.decisions import DecisionLog
from turnout.epp.observe.fanout import Observers
from turnout.epp.requests.director import Director, DirectorOptions
from turnout.epp.requests.dispatch import LoggedEnd
from turnout.epp.requests.exchange import Exchange, RequestBody, RequestHead
from turnout.epp.requests.leases import LeaseBook
from turnout.epp.simulator.openai_responses import usage_of
from turnout.epp.simulator.replay.trace import MAX_REQUESTS
from turnout.framework import Endpoint, Headers, PluginError, Refusal, Termination

MODEL = "replayed"

# The longest prompt of a trace is four characters to a token.
_MAX_BODY_BYTES = 8 * 1024 * 1024

_RESPONSE_HEAD = Headers([(":status", "200"), ("content-type", "text/event-stream; charset=utf-8")])
_FIRST_PIECE = b'data: {"choices":[{"index":0,"text":"word"}]}\n\n'


class Placement(Protocol):
    """A request that has a destination, until its end. Its methods are called in this order, each once."""

    @property
    def destination(self) -> str:
        """``address:port`` of the endpoint."""
        ...

    def accepted(self) -> None:
        """The engine has queued the request."""
        ...

    def first_token(self) -> None:
        """The first token of the answer is there."""
        ...

    def ended(self, prompt_tokens: int, output_tokens: int, cached_tokens: int) -> None:
        """The answer is complete; the counts are the engine's."""
        ...


class Router(Protocol):
    """One way to route."""

    @property
    def failures(self) -> int:
        """Calls of plugins that failed so far."""
        ...

    async def place(self, request_id: str, prompt: str) -> Placement | Refusal:
        """Decides where the request goes."""
        ...


RouterFactory = Callable[[EndpointStore, Callable[[], float]], Router]
"""Makes a fresh router over a store, on a clock in seconds."""


# --- rules of proxies ------------------------------------------------------------------------------------

Rule = Callable[[Sequence[Endpoint]], Endpoint]


class RuleRouter:
    """Routes by a rule that sees the endpoints with their requests in flight."""

    def __init__(self, store: EndpointStore, rule: Rule) -> None:
        self._store = store
        self._rule = rule

    @property
    def failures(self) -> int:
        """Zero: there are no plugins."""
        return 0

    async def place(self, request_id: str, prompt: str) -> Placement:
        """Decides by the rule; nothing is refused."""
        endpoint = self._rule(self._store.candidates())
        return _Counted(endpoint.host_port, self._store.dispatched(endpoint.name))


class _Counted:
    def __init__(self, destination: str, in_flight: InFlight) -> None:
        self.destination = destination
        self._in_flight = in_flight

    def accepted(self) -> None:
        pass

    def first_token(self) -> None:
        pass

    def ended(self, prompt_tokens: int, output_tokens: int, cached_tokens: int) -> None:
        self._in_flight.release()


def _round_robin(_: Random) -> Rule:
    turn = 0

    def rule(endpoints: Sequence[Endpoint]) -> Endpoint:
        nonlocal turn
        turn += 1
        return endpoints[(turn - 1) % len(endpoints)]

    return rule


def _least_request(random: Random) -> Rule:
    """Fewest requests in flight of all endpoints, ties at random: Envoy's FULL_SCAN."""

    def rule(endpoints: Sequence[Endpoint]) -> Endpoint:
        fewest = min(endpoint.in_flight for endpoint in endpoints)
        return random.choice([endpoint for endpoint in endpoints if endpoint.in_flight == fewest])

    return rule


def _random(random: Random) -> Rule:
    return random.choice


RULES: Mapping[str, Callable[[Random], Rule]] = MappingProxyType(
    {"round-robin": _round_robin, "least-request": _least_request, "random": _random}
)
"""Rules by name, each made from the generator that it may draw from."""


def rule_router(name: str, seed: int) -> RouterFactory:
    """Makes routers of the named rule."""
    return lambda store, _: RuleRouter(store, RULES[name](Random(seed)))


def assigned_router(assignment: Sequence[int]) -> RouterFactory:
    """Makes routers that send each request, in order of arrival, to the endpoint with the number in ``assignment``."""

    def make(store: EndpointStore, _: Callable[[], float]) -> Router:
        numbers = iter(assignment)
        return RuleRouter(store, lambda endpoints: endpoints[next(numbers)])

    return make


# --- the server's director -------------------------------------------------------------------------------


class _Failures(Observers):
    """Counts the plugins' failures and hears nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def plugin_failed(self, request_id: str, error: PluginError) -> None:
        """A plugin raised or broke its contract."""
        self.count += 1


class DirectorRouter:
    """Routes as the server does, with the same director and plugins.

    The director sees what Envoy would send: the request's body only if a parser reads it, the response's head and body
    only if plugins ask for them or with ``reads_responses``, else the end of the request from the access log. Of a
    response's body it sees two pieces, the one with the first token and the last.
    """

    def __init__(
        self, pipeline: Pipeline, store: EndpointStore, clock: Callable[[], float], *, reads_responses: bool
    ) -> None:
        self._failures = _Failures()
        self._clock = clock
        self.leases = LeaseBook(capacity=MAX_REQUESTS)
        self._reads_requests = pipeline.reads_body
        self.reads_first = reads_responses or pipeline.reads_first_piece or pipeline.reads_response_body
        self.reads_head = self.reads_first or pipeline.reads_response_headers
        self.reads_body = reads_responses or pipeline.reads_response_body
        failed = partial(self._failures.plugin_failed, "")
        admissions = Admissions(store, Unobserved(), failed, clock, pipeline)
        store.on_load_change(admissions.wake)
        self._director = Director(
            pipeline,
            store,
            self._failures,
            DecisionLog(sample_rate=0.0),
            self.leases,
            admissions.current,
            clock,
            DirectorOptions(max_request_body_bytes=_MAX_BODY_BYTES),
        )

    @property
    def failures(self) -> int:
        """Calls of plugins that failed so far."""
        return self._failures.count

    async def place(self, request_id: str, prompt: str) -> Placement | Refusal:
        """Decides as for a streamed completion that came through Envoy."""
        head = RequestHead(
            Headers(
                [
                    (":method", "POST"),
                    (":path", "/v1/completions"),
                    ("content-type", "application/json"),
                    ("x-request-id", request_id),
                ]
            ),
            lease=request_id,
        )
        refusal = self._director.refuse_early(head)
        if refusal is not None:
            return refusal
        outcome = await self._director.route(head, self._body(prompt))
        return outcome if isinstance(outcome, Refusal) else _Directed(self, outcome, self._clock)

    def _body(self, prompt: str) -> RequestBody | None:
        if not self._reads_requests:
            return None
        # Without max_tokens: clients do not know how long an answer will be, so plugins must not.
        body = {"model": MODEL, "prompt": prompt, "stream": True, "stream_options": {"include_usage": True}}
        return RequestBody(json.dumps(body).encode())


class _Directed:
    def __init__(self, router: DirectorRouter, exchange: Exchange, clock: Callable[[], float]) -> None:
        self.destination = exchange.routed.destination.partition(",")[0]
        self._router = router
        self._exchange = exchange
        self._clock = clock
        self._placed_at = clock()
        self._first_byte_seconds = 0.0

    def accepted(self) -> None:
        if self._router.reads_head:
            self._exchange.response_headers(_RESPONSE_HEAD)

    def first_token(self) -> None:
        self._first_byte_seconds = self._clock() - self._placed_at
        if self._router.reads_first:
            self._exchange.response_body(_FIRST_PIECE, last=False)

    def ended(self, prompt_tokens: int, output_tokens: int, cached_tokens: int) -> None:
        usage = {"choices": [], "usage": usage_of(prompt_tokens, output_tokens, cached_tokens)}
        last_piece = f"data: {json.dumps(usage)}\n\ndata: [DONE]\n\n".encode()
        if self._router.reads_body:
            self._exchange.response_body(last_piece, last=True)
            return
        end = LoggedEnd(
            cause=Termination.NATURAL,
            status=200,
            served_by=self.destination,
            attempts=1,
            failed_upstream=False,
            first_byte_seconds=self._first_byte_seconds,
            response_bytes=len(_FIRST_PIECE) * output_tokens + len(last_piece),
        )
        self._router.leases.ended(self._exchange.routed.lease, end)


def director_router(path: Path, seed: int, *, reads_responses: bool) -> tuple[RouterFactory, Pipeline]:
    """Makes routers of the configuration in the file, and returns its pipeline for a look.

    Each router gets plugins of its own, without memory. Plugins that draw at random and have no seed get this one.

    Raises:
        ConfigError: the file has problems.
    """
    pipeline = load_pipeline_file(path)
    text = _seeded(pipeline, seed)

    def make(store: EndpointStore, clock: Callable[[], float]) -> Router:
        return DirectorRouter(load_pipeline(text, source=str(path)), store, clock, reads_responses=reads_responses)

    return make, pipeline


def _seeded(pipeline: Pipeline, seed: int) -> str:
    """The configuration with a seed wherever one may be and none is."""
    config = json.loads(json.dumps(pipeline.effective.config))
    for plugin in config["plugins"]:
        if pipeline.origins[plugin["name"]].arguments.get("seed", seed) is None:
            plugin["parameters"] = {**plugin.get("parameters", {}), "seed": seed}
    return json.dumps(config)
