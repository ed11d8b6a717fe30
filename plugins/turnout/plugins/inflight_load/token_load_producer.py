"""Measures load in prompt tokens: what waits to be computed, how fast that goes, and what it means for a TTFT."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from turnout.framework import (
    PROMPT,
    Completion,
    CycleState,
    Diagnosis,
    Endpoint,
    Figure,
    GaugeReading,
    InferenceRequest,
    PluginName,
    Prompt,
    QueuedRequest,
    QueueOutlook,
    Reading,
    Refusal,
    Response,
    ResponseChunk,
    SchedulingResult,
    StateKey,
)
from turnout.plugins.inflight_load.context_lengths import POOL, ContextLengths
from turnout.plugins.inflight_load.keys import (
    TOKEN_LOAD,
    UNCACHED_REQUEST_TOKENS,
    UncachedRequestTokens,
)
from turnout.plugins.inflight_load.prefill_queue import SentPrompts
from turnout.plugins.inflight_load.sessions import Sessions
from turnout.plugins.inflight_load.token_load import TokenLedger
from turnout.plugins.model_cache.keys import LOAD_SECONDS
from turnout.plugins.session_id.keys import SESSION_ID

DEFAULT_NAME = PluginName(TOKEN_LOAD.default_producer)
DEFAULT_IDLE = timedelta(minutes=1)
DEFAULT_WINDOW = timedelta(minutes=10)

MAX_ENDPOINTS_SHOWN = 250
"""On the metrics page, those with the most queued tokens; the figures of the pool have all."""

_FAILED = 300


@dataclass(slots=True)
class _Sent:
    """A request on its way to the first of the endpoints that got its prompt. ``ahead`` counts its own tokens, too."""

    prompts: SentPrompts
    at: float
    ahead: float
    teaches: bool
    session: str


class _Load(NamedTuple):
    """Of an endpoint, or of the pool. ``ttft`` is in seconds."""

    queued: float
    rate: float
    ttft: float
    sessions: int
    contexts: Mapping[float, float]


class TokenLoadProducer:
    """Publishes the tokens in queue of each endpoint and of the pool, and how many are computed per second.

    In queue are the prompt tokens that were sent to an endpoint, are not believed to be cached there and are not
    computed yet, and, for the pool, those of the requests that wait in flow control. The expected TTFT is the tokens in
    queue divided by the tokens per second, and the time to load the model of the latest request where
    ``model-cache-producer`` says that it has to be loaded.

    ``tokens_per_second`` holds until first tokens have been seen: of streamed requests whose responses pass the
    Endpoint Picker. A session goes on for ``session_idle`` after its last request, if some plugin publishes session
    ids. Context lengths are those of the last one to two ``context_window``. The names are of the plugins that are
    read; empty means the default of each.

    Raises:
        ValueError: ``tokens_per_second``, ``session_idle`` or ``context_window`` is not positive (and finite).
    """

    # The first byte of an answer tells that its prompt is computed; not worth a proxy that sends every byte of all.
    needs_response_body = False

    def __init__(
        self,
        tokens_per_second: float = 15928.0,
        session_idle: timedelta = DEFAULT_IDLE,
        context_window: timedelta = DEFAULT_WINDOW,
        in_flight_load_producer_name: str = "",
        session_id_producer_name: str = "",
        model_cache_producer_name: str = "",
        name: PluginName = DEFAULT_NAME,
    ) -> None:
        if not 0.0 < tokens_per_second < float("inf"):
            raise ValueError(f"tokens_per_second must be positive and finite, got {tokens_per_second}")
        for parameter, time in (("session_idle", session_idle), ("context_window", context_window)):
            if time <= timedelta():
                raise ValueError(f"{parameter} must be positive, got {time}")
        self._ledger = TokenLedger(tokens_per_second)
        self._sessions = Sessions(session_idle.total_seconds())
        self._contexts = ContextLengths(context_window.total_seconds())
        self._uncached_key = UNCACHED_REQUEST_TOKENS.of(in_flight_load_producer_name)
        self._session_key = SESSION_ID.of(session_id_producer_name)
        self._load_key = LOAD_SECONDS.of(model_cache_producer_name)
        self._key = TOKEN_LOAD.of(name)
        self._sent_key = StateKey[_Sent]("token-load-sent", producer=name)
        self._waits_key = StateKey[tuple[str, int]]("token-load-waits", producer=name)
        self.reads = (self._uncached_key,)
        self.optional_reads = (PROMPT, self._session_key, self._load_key)
        self.writes = (self._key,)
        self._latest = 0.0
        self._pool: Mapping[str, Endpoint] = {}
        self._candidates: Sequence[Endpoint] = ()
        self._loads: Mapping[str, float] = {}

    # --- the life of a request ---------------------------------------------------------------------------

    def entry_refusal(self, item: QueuedRequest, outlook: QueueOutlook, now: float) -> Refusal | None:
        """Counts what begins to wait; refuses nothing."""
        tokens = item.state.get(PROMPT, Prompt()).tokens
        item.state.write(self._waits_key, (self._ledger.waits(item.request.target_model, tokens), tokens))
        item.state.write(self._key, self._ledger)
        return None

    def request_refused(self, request: InferenceRequest, state: CycleState, refusal: Refusal) -> None:
        """It waits no more."""
        self._waits_no_more(state)

    async def produce(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> None:
        """Writes the view of the load."""
        state.write(self._key, self._ledger)
        self._latest = max(self._latest, state.now)
        self._candidates = endpoints
        self._loads = state.get(self._load_key, {})

    def pre_request(
        self, request: InferenceRequest, state: CycleState, result: SchedulingResult
    ) -> Mapping[str, str] | None:
        """Queues the prompt at the destination and at the first endpoint of every other profile."""
        self._waits_no_more(state)
        now, endpoint = state.now, result.endpoint
        uncached = state.get(self._uncached_key, UncachedRequestTokens(0))
        others = (profile.picked[0].name for profile in result.profiles.values())
        names = dict.fromkeys((endpoint.name, *others))
        ahead = self._ledger.queued_tokens(endpoint, now) + uncached.at(endpoint.name)
        # What a load takes is not the prompt's time, and neither is what another profile's endpoint takes.
        teaches = request.stream and len(names) == 1 and endpoint.name not in state.get(self._load_key, {})
        session = state.get(self._session_key, "")
        prompts = self._ledger.sent([(name, uncached.at(name)) for name in names], now)
        state.write(self._sent_key, _Sent(prompts, now, ahead, teaches, session))
        self._contexts.add(endpoint.name, state.get(PROMPT, Prompt()).tokens, now)
        self._sessions.sweep(now)
        if session:
            self._sessions.sent(session, endpoint.name, now)
        return None

    def response_body(
        self, request: InferenceRequest, state: CycleState, response: Response, chunk: ResponseChunk
    ) -> None:
        """At the first piece the prompt has been computed."""
        sent = state.get(self._sent_key)
        if sent is None or not chunk.first:
            return
        self._ledger.computed(sent.prompts)
        if sent.teaches and response.streaming and response.status < _FAILED:
            self._ledger.observed(response.endpoint.name, sent.ahead, state.now - sent.at)

    def response_complete(self, request: InferenceRequest, state: CycleState, completion: Completion) -> None:
        """Nothing of the request is left to be computed."""
        self._latest = max(self._latest, state.now)
        sent = state.get(self._sent_key)
        if sent is not None:
            self._ledger.computed(sent.prompts)
            if sent.session:
                self._sessions.ended(sent.session, state.now)

    def _waits_no_more(self, state: CycleState) -> None:
        waiting = state.get(self._waits_key)
        if waiting is not None:
            self._ledger.waits_no_more(*waiting)
            state.discard(self._waits_key)

    # --- for people who look -----------------------------------------------------------------------------

    def endpoints_changed(self, endpoints: Sequence[Endpoint]) -> None:
        """Forgets the endpoints that left."""
        self._pool = {endpoint.name: endpoint for endpoint in endpoints}
        self._ledger.keep_only(self._pool)

    def diagnose(self, endpoints: Sequence[Endpoint], now: float) -> Diagnosis:
        """The figures of each endpoint."""
        self._latest = max(self._latest, now)
        self._pool = {endpoint.name: endpoint for endpoint in endpoints}
        self._sessions.sweep(now)
        measured = self._ledger.is_measured
        return Diagnosis(figures={name: _figures(load, measured(name)) for name, load in self._by_endpoint().items()})

    def readings(self) -> Iterable[Reading]:
        """Those of the pool, and of its busiest endpoints; as of the last request or diagnosis."""
        loads = self._by_endpoint()
        waiting = sum(self._ledger.waiting_tokens().values())
        yield GaugeReading("token_load_waiting_tokens", "Prompt tokens that wait in flow control.", waiting)
        yield from _readings("token_load_pool_", "of the pool", self._of_pool(loads, waiting), {})
        busiest = sorted(loads, key=lambda name: -loads[name].queued)[:MAX_ENDPOINTS_SHOWN]
        for endpoint in busiest:
            namespace, _, name = endpoint.rpartition("/")
            labels = {"endpoint_name": name, "namespace": namespace}
            yield from _readings("token_load_", "of an endpoint", loads[endpoint], labels)

    def _by_endpoint(self) -> dict[str, _Load]:
        latest = {endpoint.name: endpoint for endpoint in self._candidates if endpoint.name in self._pool}
        return {name: self._of_endpoint(latest.get(name, endpoint)) for name, endpoint in self._pool.items()}

    def _of_endpoint(self, endpoint: Endpoint) -> _Load:
        name, now = endpoint.name, self._latest
        queued, rate = self._ledger.queued_tokens(endpoint, now), self._ledger.tokens_per_second(name)
        ttft = queued / rate + self._loads.get(name, 0.0)
        sessions = self._sessions.by_endpoint.get(name, 0)
        return _Load(queued, rate, ttft, sessions, self._contexts.quantiles(name, now))

    def _of_pool(self, loads: Mapping[str, _Load], waiting: int) -> _Load:
        queued = waiting + sum(load.queued for load in loads.values())
        rate = sum(load.rate for load in loads.values())
        # Nobody computes in an empty pool.
        ttft = queued / rate if rate else (float("inf") if queued else 0.0)
        soonest = min((self._loads.get(name, 0.0) for name in loads), default=0.0)
        return _Load(queued, rate, ttft + soonest, len(self._sessions), self._contexts.quantiles(POOL, self._latest))


def _figures(load: _Load, is_measured: bool) -> dict[str, Figure]:
    contexts = {f"context_tokens_p{quantile * 100:g}": round(tokens) for quantile, tokens in load.contexts.items()}
    return {
        "queued_tokens": round(load.queued),
        "tokens_per_second": round(load.rate, 1),
        "tokens_per_second_are": "measured" if is_measured else "assumed",
        "expected_ttft_seconds": round(load.ttft, 4),
        "sessions": load.sessions,
        **contexts,
    }


def _readings(prefix: str, whose: str, load: _Load, labels: Mapping[str, str]) -> Iterator[Reading]:
    yield GaugeReading(
        f"{prefix}queued_tokens", f"Prompt tokens {whose} that are not computed yet.", load.queued, labels
    )
    yield GaugeReading(f"{prefix}tokens_per_second", f"Prompt tokens computed per second {whose}.", load.rate, labels)
    yield GaugeReading(f"{prefix}expected_ttft_seconds", f"Expected TTFT {whose}.", load.ttft, labels)
    yield GaugeReading(f"{prefix}sessions", f"Sessions {whose} that go on.", load.sessions, labels)
    for quantile, tokens in load.contexts.items():
        what = f"Quantiles of the prompt tokens of recent requests {whose}, off by at most 5%."
        yield GaugeReading(f"{prefix}context_tokens", what, tokens, {**labels, "quantile": f"{quantile:g}"})
