"""A plugin as its author froze it when the framework was first released. It must type-check for ever: do not edit."""

from collections.abc import Collection, Mapping, Sequence

from turnout.framework import (
    Completion,
    CycleState,
    DataProducer,
    Endpoint,
    Filter,
    InferenceRequest,
    Picker,
    PluginName,
    PreRequest,
    ProfileHandler,
    ProfileOutcome,
    ProfileResult,
    Refusal,
    RefusalKind,
    Response,
    ResponseChunk,
    SchedulingResult,
    ScoredEndpoint,
    Scorer,
    Scores,
    StateKey,
)
from turnout.framework.interfaces import Admitter, ResponseBody, ResponseComplete, ResponseHeaders, Screener

TENANT = StateKey[str]("tenant", producer="tenant-router")


class TenantRouter:
    """Keeps a tenant on the endpoints of its colour, and counts what they do."""

    writes = (TENANT,)
    time_limit_seconds = 0.1

    def __init__(self, header: str = "x-tenant", colours: Mapping[str, str] | None = None, name: str = "") -> None:
        self.header = header
        self.colours = dict(colours or {})
        self.running: dict[str, int] = {}

    async def produce(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> None:
        state.write(TENANT, request.headers.get(self.header) or request.fairness_id)

    def screen(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        return [endpoint for endpoint in endpoints if endpoint.metrics.age("running_requests", state.now) < 60]

    def admit(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Refusal | None:
        if request.priority >= 0 or endpoints:
            return None
        return Refusal(RefusalKind.RESOURCE_EXHAUSTED, "come back later", retry_after_seconds=1.0)

    def filter(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        colour = self.colours.get(state.read(TENANT))
        return [endpoint for endpoint in endpoints if colour in (None, endpoint.labels.get("colour"))]

    def score(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Scores:
        return [1.0 / (1 + self.running.get(endpoint.name, 0) + endpoint.in_flight) for endpoint in endpoints]

    def pre_request(
        self, request: InferenceRequest, state: CycleState, result: SchedulingResult
    ) -> Mapping[str, str] | None:
        name = result.endpoint.name
        self.running[name] = self.running.get(name, 0) + 1
        return {"x-colour": result.endpoint.labels.get("colour", "")}

    def response_headers(
        self, request: InferenceRequest, state: CycleState, response: Response
    ) -> Mapping[str, str] | None:
        return {"x-served-by": response.endpoint.host_port} if response.status == 200 else None

    def response_body(
        self, request: InferenceRequest, state: CycleState, response: Response, chunk: ResponseChunk
    ) -> None:
        if chunk.usage is not None and chunk.last:
            self.running["tokens"] = chunk.usage.total_tokens

    def response_complete(self, request: InferenceRequest, state: CycleState, completion: Completion) -> None:
        self.running[completion.endpoint.name] -= 1


class LastPicker:
    """Picks the last candidate."""

    def __init__(self, name: PluginName) -> None:
        self.name = name

    def pick(
        self, request: InferenceRequest, state: CycleState, scored: Sequence[ScoredEndpoint]
    ) -> Sequence[Endpoint]:
        return [scored[-1].endpoint]


class FirstThatWorks:
    """Runs one profile after the other until one has an endpoint."""

    def pick(
        self,
        request: InferenceRequest,
        state: CycleState,
        profiles: Collection[str],
        results: Mapping[str, ProfileOutcome],
    ) -> Sequence[str]:
        if any(isinstance(outcome, ProfileResult) for outcome in results.values()):
            return ()
        return [name for name in profiles if name not in results][:1]

    def process_results(
        self, request: InferenceRequest, state: CycleState, results: Mapping[str, ProfileOutcome]
    ) -> SchedulingResult:
        *_, (name, outcome) = results.items()
        if isinstance(outcome, ProfileResult):
            return SchedulingResult(name, {name: outcome})
        raise outcome


router = TenantRouter()
as_producer: DataProducer = router
as_screener: Screener = router
as_admitter: Admitter = router
as_filter: Filter = router
as_scorer: Scorer = router
as_pre_request: PreRequest = router
as_response_headers: ResponseHeaders = router
as_response_body: ResponseBody = router
as_response_complete: ResponseComplete = router
as_picker: Picker = LastPicker(PluginName("last"))
as_handler: ProfileHandler = FirstThatWorks()
