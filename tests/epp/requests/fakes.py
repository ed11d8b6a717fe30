"""A director over small plugins, with everything it reports written down."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from turnout.config import Pipeline, load_pipeline
from turnout.epp.datalayer.store import EndpointStore
from turnout.epp.flowcontrol.legacy import LegacyAdmission
from turnout.epp.requests.admission import AdmissionControl
from turnout.epp.requests.director import Director, DirectorOptions
from turnout.epp.requests.leases import LeaseBook
from turnout.framework import (
    Completion,
    CycleState,
    DecisionRecord,
    Endpoint,
    EndpointSpec,
    InferenceRequest,
    Named,
    PluginError,
    Refusal,
    Response,
    ResponseChunk,
    SchedulingResult,
)

CHAT = b'{"model":"m","messages":[{"role":"user","content":"hello"}]}'


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Reports:
    """A request observer that remembers."""

    dispatches: list[str] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    failures: list[PluginError] = field(default_factory=list)
    completions: list[Completion] = field(default_factory=list)
    scheduled_on: list[str] = field(default_factory=list)
    unscheduled: int = 0
    gaps: list[float] = field(default_factory=list)

    def scheduled(self, request: InferenceRequest, endpoint: Endpoint, seconds: float) -> None:
        self.scheduled_on.append(endpoint.name)

    def scheduling_failed(self, request: InferenceRequest, seconds: float) -> None:
        self.unscheduled += 1

    def plugin_ran(self, plugin: str, plugin_type: str, extension_point: str, seconds: float) -> None:
        raise AssertionError("the director measures no plugin")

    def dispatched(self, request: InferenceRequest, endpoint: Endpoint, processing_seconds: float) -> None:
        self.dispatches.append(request.request_id)

    def refused(self, request_id: str, model: str, refusal: Refusal) -> None:
        self.refusals.append(refusal)

    def plugin_failed(self, request_id: str, error: PluginError) -> None:
        self.failures.append(error)

    def streamed(self, request: InferenceRequest, gap_seconds: float) -> None:
        self.gaps.append(gap_seconds)

    def finished(self, request: InferenceRequest, completion: Completion) -> None:
        self.completions.append(completion)


@dataclass
class Decisions:
    """A decision sink that explains every decision when switched on."""

    on: bool = False
    kept: list[DecisionRecord] = field(default_factory=list)

    def start(self) -> DecisionRecord | None:
        return DecisionRecord() if self.on else None

    def add(self, record: DecisionRecord, request: InferenceRequest, endpoints: Sequence[Endpoint], now: float) -> None:
        self.kept.append(record)


@dataclass
class Bookkeeper:
    """A plugin at every point after the decision; counts what is open and remembers what it saw."""

    open: int = 0
    seen: list[str] = field(default_factory=list)
    fail_in: str = ""

    def pre_request(
        self, request: InferenceRequest, state: CycleState, result: SchedulingResult
    ) -> Mapping[str, str] | None:
        self._maybe_fail("pre_request")
        self.open += 1
        return {"x-kept-by": "bookkeeper"}

    def response_headers(
        self, request: InferenceRequest, state: CycleState, response: Response
    ) -> Mapping[str, str] | None:
        self._maybe_fail("response_headers")
        self.seen.append(f"head {response.status}")
        return {"x-session-token": "t"}

    def response_body(
        self, request: InferenceRequest, state: CycleState, response: Response, chunk: ResponseChunk
    ) -> None:
        self._maybe_fail("response_body")
        self.seen.append(f"body {len(chunk.data)}{' first' if chunk.first else ''}{' last' if chunk.last else ''}")

    def response_complete(self, request: InferenceRequest, state: CycleState, completion: Completion) -> None:
        self._maybe_fail("response_complete")
        self.open -= 1

    def _maybe_fail(self, where: str) -> None:
        if where == self.fail_in:
            raise RuntimeError("broken on purpose")


CONFIG = """
apiVersion: turnout/v1
kind: EndpointPickerConfig
plugins:
- type: queue-scorer
- type: random-picker
  parameters: {seed: 1}
schedulingProfiles:
- name: default
  plugins: [{pluginRef: queue-scorer}, {pluginRef: random-picker}]
"""


@dataclass
class House:
    """A director and all that surrounds it; ``names`` are the endpoints, at 10.0.0.1 and so on, port 8000."""

    names: Sequence[str] = ("a", "b")
    clock: Clock = field(default_factory=Clock)
    options: DirectorOptions = field(default_factory=DirectorOptions)
    changes: Callable[[Pipeline], Pipeline] = lambda pipeline: pipeline
    lease_capacity: int = 10
    admission: Callable[["House"], AdmissionControl] = lambda house: LegacyAdmission(
        None, house.store.candidates, lambda error: None, house.clock
    )

    store: EndpointStore = field(init=False)

    def __post_init__(self) -> None:
        self.reports = Reports()
        self.decisions = Decisions()
        self.book = Bookkeeper()
        self.leases = LeaseBook(capacity=self.lease_capacity, time_limit_seconds=60.0)
        self.store = EndpointStore(self.clock)
        self.store.replace(
            [EndpointSpec(f"default/{name}", f"10.0.0.{n}", 8000, {}) for n, name in enumerate(self.names, 1)]
        )
        named = Named(self.book, "book")
        pipeline = replace(
            load_pipeline(CONFIG),
            pre_request=(named,),
            response_headers=(named,),
            response_body=(named,),
            response_complete=(named,),
        )
        self.director = Director(
            self.changes(pipeline),
            self.store,
            self.reports,
            self.decisions,
            self.leases,
            self.admission(self),
            self.clock,
            self.options,
        )

    def in_flight(self) -> int:
        return sum(endpoint.in_flight for endpoint in self.store.snapshot())
