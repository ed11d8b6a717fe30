"""The life of a request before its dispatch: intake, candidates, producers, admission, scheduling."""

import asyncio
import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from turnout.config import Pipeline
from turnout.epp.requests.admission import GIVEN_UP, Admission, AdmissionControl
from turnout.epp.requests.candidates import in_subset
from turnout.epp.requests.dispatch import Accounting, Dispatch, DispatchContext, EndpointHealth
from turnout.epp.requests.door import classified, tell_refused
from turnout.epp.requests.exchange import RequestBody, RequestHead, Routed, RouteOutcome
from turnout.epp.requests.intake import Intake, take_in
from turnout.epp.requests.leases import LeaseBook
from turnout.epp.requests.observer import RequestObserver
from turnout.epp.requests.statuses import too_large
from turnout.epp.requests.target_model import retargeted
from turnout.epp.wire_names import REQUEST_ID
from turnout.framework import (
    PROMPT,
    REQUEST_BODY,
    CycleState,
    DataProducer,
    DecisionRecord,
    Endpoint,
    ExtensionPoint,
    InferenceRequest,
    Named,
    NoEndpointsError,
    PluginError,
    Refusal,
    RefusalKind,
    SchedulingResult,
    Termination,
    plugin_boundary,
    recording,
)

# The reference's time limit of a data producer that declares none.
PRODUCER_TIME_LIMIT_SECONDS = 0.4

NO_CANDIDATES = Refusal(
    RefusalKind.UNAVAILABLE,
    "failed to find endpoint candidates for serving the request",
    "rejected-no-endpoints",
)
SCREENED_OUT = Refusal(RefusalKind.UNAVAILABLE, "screeners eliminated all endpoint candidates", "rejected-no-endpoints")
NOTHING_LEFT = Refusal(
    RefusalKind.RESOURCE_EXHAUSTED, "no endpoints available for the given request", "rejected-saturated"
)
SHUTTING_DOWN = Refusal(RefusalKind.UNAVAILABLE, "the Endpoint Picker is shutting down", "rejected-shutting-down")


class Pool(EndpointHealth, Protocol):
    """What the director needs of the data layer's store."""

    def candidates(self) -> Sequence[Endpoint]:
        """The endpoints in service; immutable and shared."""
        ...

    def dispatched(self, name: str) -> Accounting:
        """Counts a request as in flight at the endpoint until it is released."""
        ...


class DecisionSink(Protocol):
    """Where explained decisions go."""

    def start(self) -> DecisionRecord | None:
        """A record to fill when the next decision shall be explained, else None."""
        ...

    def add(self, record: DecisionRecord, request: InferenceRequest, endpoints: Sequence[Endpoint], now: float) -> None:
        """Keeps a filled record."""
        ...


@dataclass(frozen=True, slots=True)
class DirectorOptions:
    """``fallback_endpoints`` is how many of the next best candidates follow those picked in the destination list."""

    max_request_body_bytes: int = 32 * 1024 * 1024
    emit_endpoint_scores: bool = False
    disable_subset_filter: bool = False
    fallback_endpoints: int = 0


class Director:
    """Decides where requests go. Implements ``RequestHandler``; one for the process.

    ``pipeline`` and ``admission`` may be replaced at any time: a request finishes on those it began with; one that
    waits for its admission begins after that.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        pool: Pool,
        observer: RequestObserver,
        decisions: DecisionSink,
        leases: LeaseBook,
        admission: AdmissionControl,
        clock: Callable[[], float],
        options: DirectorOptions,
    ) -> None:
        self.pipeline = pipeline
        self.admission = admission
        self.draining = False
        self._pool = pool
        self._observer = observer
        self._decisions = decisions
        self._leases = leases
        self._clock = clock
        self._options = options

    def refuse_early(self, head: RequestHead) -> Refusal | None:
        """A refusal that needs only the headers."""
        refusal = self._early_refusal(head)
        if refusal is not None:
            self._refuse(head.headers.get(REQUEST_ID) or "", "", refusal)
        return refusal

    def _early_refusal(self, head: RequestHead) -> Refusal | None:
        if self.draining:
            return SHUTTING_DOWN
        pool = self._pool.candidates()
        if not self._in_subset(head, pool) and (pool or not self.admission.waits_for_endpoints):
            return NO_CANDIDATES
        declared = head.headers.get("content-length") or ""
        limit = self._options.max_request_body_bytes
        # More than 18 digits is over any limit, and int() of a million digits is not free.
        if declared.isdecimal() and (len(declared) > 18 or int(declared) > limit):
            return too_large(limit)
        return None

    async def route(self, head: RequestHead, body: RequestBody | None) -> RouteOutcome:
        """Decides where the request goes, or why it goes nowhere."""
        request_id = head.headers.get(REQUEST_ID) or ""
        try:
            intake = take_in(head, body, self.pipeline.parsers, self._clock())
        except ValueError as error:
            return self._refuse(request_id, "", Refusal(RefusalKind.BAD_REQUEST, str(error)))
        except PluginError as error:
            self._observer.plugin_failed(request_id, error)
            return self._refuse(request_id, "", _broken(error))
        outcome = await self._decide(head, body, intake)
        if isinstance(outcome, Refusal):
            return self._refuse(intake.request.request_id, intake.request.model, outcome)
        return outcome

    async def _decide(self, head: RequestHead, body: RequestBody | None, intake: Intake) -> Dispatch | Refusal:
        state = CycleState(intake.request.received_at)
        if intake.parsed.prompt is not None:
            state.write(PROMPT, intake.parsed.prompt)
        if body is not None and body.complete:
            state.write(REQUEST_BODY, body.data)
        request = self._classified(intake.request, state)
        if isinstance(request, Refusal):
            return request
        try:
            outcome = await self._once_admitted(head, replace(intake, request=request), state)
        except asyncio.CancelledError:
            self._tell_refused(request, state, GIVEN_UP)
            raise
        if isinstance(outcome, Refusal):
            self._tell_refused(request, state, outcome)
        return outcome

    def _classified(self, request: InferenceRequest, state: CycleState) -> InferenceRequest | Refusal:
        try:
            return classified(self.pipeline.classifiers, request, state)
        except PluginError as error:
            self._observer.plugin_failed(request.request_id, error)
            return _broken(error)

    def _tell_refused(self, request: InferenceRequest, state: CycleState, refusal: Refusal) -> None:
        state.now = self._clock()
        tell_refused(self.pipeline.request_refused, request, state, refusal, self._observer.plugin_failed)

    async def _once_admitted(self, head: RequestHead, intake: Intake, state: CycleState) -> Dispatch | Refusal:
        admission = await self.admission.enter(intake.request, state, head.subset)
        if isinstance(admission, Refusal):
            return admission
        intake = replace(intake, request=admission.changed(intake.request))
        try:
            # The pipeline of this moment: the request may have waited through a reload, and begins only here.
            return await self._begin(self.pipeline, head, intake, state, admission)
        finally:
            admission.settled()

    async def _begin(
        self, pipeline: Pipeline, head: RequestHead, intake: Intake, state: CycleState, admission: Admission
    ) -> Dispatch | Refusal:
        request = intake.request
        candidates = self._candidates(head, request)
        try:
            endpoints = self._screen(pipeline, request, state, candidates)
            if isinstance(endpoints, Refusal):
                return endpoints
            await self._produce(pipeline, request, state, endpoints)
            endpoints = self._as_of_now(head, request, candidates, endpoints)
            if not endpoints:
                return NO_CANDIDATES
            refusal = self._admit(pipeline, request, state, endpoints)
            if refusal is not None:
                return refusal
            result = self._schedule(pipeline, request, state, endpoints, admission)
            intake = retargeted(intake, state, result, pipeline.scheduler.profile_handler.name)
            refusal = self._admit_decision(pipeline, intake.request, state, result)
            return refusal or self._dispatch(pipeline, head, intake, state, result)
        except NoEndpointsError:
            return NOTHING_LEFT
        except PluginError as error:
            self._observer.plugin_failed(request.request_id, error)
            return _broken(error)

    def _candidates(self, head: RequestHead, request: InferenceRequest) -> Sequence[Endpoint]:
        return self.admission.endpoints_for(request, self._in_subset(head, self._pool.candidates()))

    def _in_subset(self, head: RequestHead, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        return endpoints if self._options.disable_subset_filter else in_subset(endpoints, head.subset)

    def _screen(
        self, pipeline: Pipeline, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]
    ) -> Sequence[Endpoint] | Refusal:
        if not endpoints:
            return NO_CANDIDATES
        for named in pipeline.screeners:
            with plugin_boundary(named.name, ExtensionPoint.SCREENER):
                endpoints = named.plugin.screen(request, state, endpoints)
        return endpoints or SCREENED_OUT

    def _as_of_now(
        self,
        head: RequestHead,
        request: InferenceRequest,
        before: Sequence[Endpoint],
        screened: Sequence[Endpoint],
    ) -> Sequence[Endpoint]:
        """The screened endpoints as they are after producers have waited: others were dispatched, endpoints left.

        Without this, all requests that wait at the same time would see the same loads and go to the same endpoint.
        """
        fresh = self._candidates(head, request)
        if fresh is before:
            return screened
        names = {endpoint.name for endpoint in screened}
        return tuple(endpoint for endpoint in fresh if endpoint.name in names)

    async def _produce(
        self, pipeline: Pipeline, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]
    ) -> None:
        """Runs the producers, stage after stage. One that fails or is late costs its data, not the request."""
        for stage in pipeline.producer_stages:
            if len(stage) == 1:
                await self._produce_one(stage[0], request, state, endpoints)
            else:
                await asyncio.gather(*(self._produce_one(named, request, state, endpoints) for named in stage))

    async def _produce_one(
        self,
        named: Named[DataProducer],
        request: InferenceRequest,
        state: CycleState,
        endpoints: Sequence[Endpoint],
    ) -> None:
        # A third party's plugin may leave the limit out; this is the one optional attribute of a plugin we read.
        limit: float = getattr(named.plugin, "time_limit_seconds", PRODUCER_TIME_LIMIT_SECONDS)
        try:
            with plugin_boundary(named.name, ExtensionPoint.DATA_PRODUCER):
                async with asyncio.timeout(limit):
                    await named.plugin.produce(request, state, endpoints)
        except PluginError as error:
            self._observer.plugin_failed(request.request_id, error)

    def _admit(
        self, pipeline: Pipeline, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]
    ) -> Refusal | None:
        for named in pipeline.admitters:
            with plugin_boundary(named.name, ExtensionPoint.ADMITTER):
                refusal = named.plugin.admit(request, state, endpoints)
            if refusal is not None:
                return refusal
        return None

    def _admit_decision(
        self, pipeline: Pipeline, request: InferenceRequest, state: CycleState, result: SchedulingResult
    ) -> Refusal | None:
        for named in pipeline.decision_admitters:
            with plugin_boundary(named.name, ExtensionPoint.DECISION_ADMITTER):
                refusal = named.plugin.admit_decision(request, state, result)
            if refusal is not None:
                return refusal
        return None

    def _schedule(
        self,
        pipeline: Pipeline,
        request: InferenceRequest,
        state: CycleState,
        endpoints: Sequence[Endpoint],
        admission: Admission,
    ) -> SchedulingResult:
        now = self._clock()
        record = self._decisions.start()
        if record is not None:
            record.wait = admission.explained()
        scheduler = pipeline.scheduler if record is None else recording(pipeline.scheduler, record)
        try:
            result = scheduler.schedule(request, state, endpoints, now)
        except (NoEndpointsError, PluginError):
            self._observer.scheduling_failed(request, self._clock() - now)
            raise
        finally:
            if record is not None:
                self._decisions.add(record, request, endpoints, now)
        self._observer.scheduled(request, result.endpoint, self._clock() - now)
        return result

    def _dispatch(
        self,
        pipeline: Pipeline,
        head: RequestHead,
        intake: Intake,
        state: CycleState,
        result: SchedulingResult,
    ) -> Dispatch:
        request = intake.request
        state.discard(REQUEST_BODY)  # the state lives as long as the response, and nothing more reads the body
        dispatch = Dispatch(
            context=DispatchContext(pipeline, self._pool, self._observer, self._clock),
            request=request,
            state=state,
            result=result,
            routed=Routed("", head.lease),
            accounting=self._pool.dispatched(result.endpoint.name),
            parser=intake.parser,
            # A model that the decision chose is what answers, and the client is to see it.
            rewrites_response=intake.body is not None and not result.target_model,
        )
        dispatch.evictable = self.admission.running(dispatch)
        self._observer.dispatched(request, result.endpoint, self._clock() - request.received_at)
        try:
            headers = self._account(pipeline, request, state, result)
        except PluginError:
            dispatch.finish(Termination.ERROR)
            raise
        if intake.generated_id:
            headers[REQUEST_ID] = request.request_id
        dispatch.routed = self._routed(head.lease, result, headers, intake.body)
        if head.lease:
            self._leases.add(dispatch, self._clock())
        return dispatch

    def _account(
        self, pipeline: Pipeline, request: InferenceRequest, state: CycleState, result: SchedulingResult
    ) -> dict[str, str]:
        headers: dict[str, str] = {}
        for named in pipeline.pre_request:
            with plugin_boundary(named.name, ExtensionPoint.PRE_REQUEST):
                headers.update(named.plugin.pre_request(request, state, result) or {})
        return headers

    def _routed(self, lease: str, result: SchedulingResult, headers: Mapping[str, str], body: bytes | None) -> Routed:
        scored = result.profiles[result.primary].scored
        scores: dict[str, float] = {}
        if self._options.emit_endpoint_scores:
            scores = {candidate.endpoint.host_port: candidate.score for candidate in scored}
        destination = ",".join(endpoint.host_port for endpoint in self._with_fallbacks(result))
        return Routed(destination, lease, headers, body, scores)

    def _with_fallbacks(self, result: SchedulingResult) -> Sequence[Endpoint]:
        wanted = self._options.fallback_endpoints
        if not wanted:
            return result.endpoints
        picked = set(map(id, result.endpoints))
        scored = result.profiles[result.primary].scored
        others = (candidate for candidate in scored if id(candidate.endpoint) not in picked)
        best = heapq.nlargest(wanted, others, key=lambda candidate: candidate.score)
        return (*result.endpoints, *(candidate.endpoint for candidate in best))

    def _refuse(self, request_id: str, model: str, refusal: Refusal) -> Refusal:
        self._observer.refused(request_id, model, refusal)
        return refusal


def _broken(error: PluginError) -> Refusal:
    # What the plugin raised may quote the prompt; it is for the log and not for the client.
    return Refusal(RefusalKind.INTERNAL, f"plugin {error.plugin!r} failed as {error.extension_point}")
