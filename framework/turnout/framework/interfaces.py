"""The extension points. A plugin is any object with the right method; no base class, no registration call.

A plugin's parameters are the parameters of its constructor. It may declare, as class or instance attributes,
``reads``, ``optional_reads`` and ``writes``: tuples of ``StateKey``. Assembly refuses a pipeline in which a
key is read that nothing writes earlier. One object may serve several extension points.

Everything but ``DataProducer``, the data layer and ``Runnable`` is synchronous and runs on the event loop
without yielding, so a plugin's own fields need no locks. No plugin reads a clock: ``state.now`` is the time.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from turnout.framework.diagnosis import Diagnosis
from turnout.framework.endpoint import Endpoint, EndpointMetrics
from turnout.framework.refusal import Refusal
from turnout.framework.request import InferenceRequest, Prompt
from turnout.framework.response import Completion, Response, ResponseChunk, Usage
from turnout.framework.results import ProfileOutcome, SchedulingResult, ScoredEndpoint, Scores
from turnout.framework.state import CycleState

# --- in the cycle ----------------------------------------------------------------------------------------


@runtime_checkable
class ProfileHandler(Protocol):
    """Decides which profiles run and what their results mean. A scheduler has exactly one.

    May declare ``profile_names``, a tuple of the profiles that it will ask for: one that does not exist is then found
    when the configuration is loaded.
    """

    def pick(
        self,
        request: InferenceRequest,
        state: CycleState,
        profiles: Collection[str],
        results: Mapping[str, ProfileOutcome],
    ) -> Sequence[str]:
        """The profiles to run next, by name; empty ends the cycle.

        Called again after each round with the results so far, so that a choice may depend on earlier ones.
        Profiles of one round are independent of each other. No profile runs twice for a request.
        """
        ...

    def process_results(
        self, request: InferenceRequest, state: CycleState, results: Mapping[str, ProfileOutcome]
    ) -> SchedulingResult:
        """The decision. Raises ``NoEndpointsError`` when the results leave no destination."""
        ...


@runtime_checkable
class Filter(Protocol):
    """Removes candidates."""

    def filter(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        """The endpoints to keep, a subset of those given, in their order."""
        ...


@runtime_checkable
class Scorer(Protocol):
    """Rates candidates."""

    def score(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Scores:
        """One score in [0, 1] for each endpoint, in their order; 1 is best. Never called without endpoints."""
        ...


@runtime_checkable
class Picker(Protocol):
    """Chooses among scored candidates. A profile has exactly one."""

    def pick(
        self, request: InferenceRequest, state: CycleState, scored: Sequence[ScoredEndpoint]
    ) -> Sequence[Endpoint]:
        """At least one of the scored endpoints, best first; those after the first are fallbacks."""
        ...


# --- at the door ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Classification:
    """What a classifier found out about a request. None leaves the value as it is; targets are in seconds."""

    priority: int | None = None
    level: str | None = None
    fairness_id: str | None = None
    ttft_target: float | None = None
    tpot_target: float | None = None


@runtime_checkable
class Classifier(Protocol):
    """Says which priority, level, flow or targets a request has, before it may have to wait.

    Classifiers run in the order of the file; each sees what the earlier ones found out.
    """

    def classify(self, request: InferenceRequest, state: CycleState) -> Classification | Refusal:
        """What the request is, or why it is refused. ``PROMPT`` and ``REQUEST_BODY`` are there if there is a body."""
        ...


# --- before the cycle ------------------------------------------------------------------------------------


@runtime_checkable
class DataProducer(Protocol):
    """Prepares what other plugins read. The only request-time extension point that may await.

    May declare ``time_limit_seconds: float``; the Endpoint Picker's default applies otherwise.
    """

    async def produce(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> None:
        """Writes the keys named in ``writes``. Cancelled when its time limit passes."""
        ...


@runtime_checkable
class Screener(Protocol):
    """Narrows the candidates once for all profiles, before data producers run."""

    def screen(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        """The endpoints to keep, in their order; without any the request is refused."""
        ...


@runtime_checkable
class Admitter(Protocol):
    """May refuse a request before scheduling."""

    def admit(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Refusal | None:
        """Why the request is refused, or None to let it pass."""
        ...


# --- after the cycle -------------------------------------------------------------------------------------


@runtime_checkable
class DecisionAdmitter(Protocol):
    """May refuse a request when it is known where it would go.

    Nothing runs between this and ``pre_request``: what is found free here can be taken there.
    """

    def admit_decision(self, request: InferenceRequest, state: CycleState, result: SchedulingResult) -> Refusal | None:
        """Why the request is refused, or None to let it go. The request has the model that the decision gave it."""
        ...


@runtime_checkable
class PreRequest(Protocol):
    """Accounts for a dispatch that has been decided."""

    def pre_request(
        self, request: InferenceRequest, state: CycleState, result: SchedulingResult
    ) -> Mapping[str, str] | None:
        """Headers to set on the request to the engine, if any."""
        ...


@runtime_checkable
class ResponseHeaders(Protocol):
    """Sees the head of a response. Configuring one makes the proxy send response headers."""

    def response_headers(
        self, request: InferenceRequest, state: CycleState, response: Response
    ) -> Mapping[str, str] | None:
        """Headers to set on the response to the client, if any."""
        ...


@runtime_checkable
class ResponseBody(Protocol):
    """Sees the body of a response. Configuring one makes the proxy send response bodies.

    A plugin that only profits from bodies that pass anyway declares ``needs_response_body = False``. With
    ``needs_first_piece = True`` beside it the first piece of each passes, which costs one message and not one for every
    token.
    """

    def response_body(
        self, request: InferenceRequest, state: CycleState, response: Response, chunk: ResponseChunk
    ) -> None:
        """Learns from one piece of the body."""
        ...


@runtime_checkable
class ResponseComplete(Protocol):
    """Hears of the end of every request that was dispatched, exactly once, however it ended."""

    def response_complete(self, request: InferenceRequest, state: CycleState, completion: Completion) -> None:
        """Releases what ``pre_request`` accounted for."""
        ...


@runtime_checkable
class RequestRefused(Protocol):
    """Hears of every classified request that ended without a dispatch."""

    def request_refused(self, request: InferenceRequest, state: CycleState, refusal: Refusal) -> None:
        """The client gets an error instead of an endpoint. A client that left while it waited counts, too."""
        ...


# --- request formats -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ParsedBody:
    """What a parser found in a body. ``prompt`` is None for a format without one.

    ``max_output_tokens`` is for each of the ``answers`` that are asked for.
    """

    model: str = ""
    stream: bool = False
    max_output_tokens: int | None = None
    prompt: Prompt | None = None
    answers: int = 1


@runtime_checkable
class Parser(Protocol):
    """Reads one family of request bodies.

    ``paths`` are the path endings that it claims, by whole segments; a parser without any is the fallback.
    Bodies are read only if some configured parser claims a path.
    """

    @property
    def paths(self) -> Collection[str]:
        """Claimed path endings such as ``chat/completions``."""
        ...

    def parse(self, path: str, body: bytes) -> ParsedBody:
        """Reads the fields above, once. Raises ``ValueError`` whose text tells the client what is wrong."""
        ...

    def rewrite_model(self, body: bytes, model: str) -> bytes:
        """The body with another model name and every other byte of meaning unchanged."""
        ...

    def usage(self, body: bytes) -> Usage | None:
        """Token counts in one JSON document or one server-sent event's data, or None."""
        ...


# --- data layer ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EndpointSpec:
    """An endpoint as discovery declares it.

    ``name`` is unique in the pool: ``namespace/name``. ``address`` may be a host name; ``metrics_port`` None
    means ``port``. ``rank`` tells endpoints of one model server apart.
    """

    name: str
    address: str
    port: int
    labels: Mapping[str, str]
    rank: int = 0
    metrics_port: int | None = None


@runtime_checkable
class EndpointDiscovery(Protocol):
    """Tells which endpoints exist."""

    async def discover(self, publish: Callable[[Sequence[EndpointSpec]], Awaitable[None]]) -> None:
        """Publishes the whole pool, and again after each change, until cancelled.

        Raises:
            ValueError: the first listing is invalid; a later invalid one is reported and changes nothing.
        """
        ...


@runtime_checkable
class DataSource(Protocol):
    """Fetches raw data about one endpoint, time after time.

    ``interval_seconds`` None means the Endpoint Picker's refresh interval. A source that asks something other than the
    endpoint declares ``shows_health = False``: whether it answers then says nothing about the endpoint.
    """

    @property
    def interval_seconds(self) -> float | None:
        """Seconds between two fetches of one endpoint."""
        ...

    async def fetch(self, endpoint: Endpoint) -> bytes:
        """The raw page. Raises ``OSError`` or ``TimeoutError`` when the endpoint does not answer properly."""
        ...

    async def close(self) -> None:
        """Frees connections."""
        ...


@runtime_checkable
class Extractor(Protocol):
    """Turns a fetched page into metrics."""

    def extract(self, page: bytes, endpoint: Endpoint, now: float) -> EndpointMetrics:
        """The endpoint's metrics with every value found on the page replaced; the others keep value and age.

        Raises:
            ValueError: the page is not in the format.
        """
        ...


@runtime_checkable
class EndpointWatcher(Protocol):
    """Hears who is in the pool."""

    def endpoints_changed(self, endpoints: Sequence[Endpoint]) -> None:
        """The whole pool, in or out of service: when the plugin is taken into use, and after each change."""
        ...


@runtime_checkable
class Diagnosed(Protocol):
    """Can tell what is wrong with its own work, such as data that never arrives."""

    def diagnose(self, endpoints: Sequence[Endpoint], now: float) -> Diagnosis:
        """What the plugin found out; asked for every now and then and when somebody looks. It changes nothing."""
        ...


@runtime_checkable
class Runnable(Protocol):
    """The one place where a plugin may own I/O: a task that lives as long as the pipeline."""

    async def run(self) -> None:
        """Runs until cancelled. After a reload that keeps the plugin it is called again on the same object."""
        ...
