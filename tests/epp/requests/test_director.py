import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

import pytest

from epp.requests.fakes import CHAT, House
from turnout.config import Pipeline
from turnout.epp.requests.director import Director, DirectorOptions
from turnout.epp.requests.dispatch import Dispatch
from turnout.epp.requests.exchange import RequestBody, RequestHandler, RequestHead
from turnout.epp.requests.openai import OpenAIParser
from turnout.framework import (
    PROMPT,
    REQUEST_BODY,
    CycleState,
    Endpoint,
    EndpointSpec,
    Headers,
    InferenceRequest,
    Named,
    ParsedBody,
    ProfileOutcome,
    ProfileResult,
    Prompt,
    Refusal,
    RefusalKind,
    Scheduler,
    SchedulerProfile,
    SchedulingResult,
    StateKey,
    Termination,
)

HEAD = RequestHead(Headers([(":path", "/v1/chat/completions"), ("x-request-id", "r1")]))


def head(*more: tuple[str, str], subset: tuple[str, ...] | None = None) -> RequestHead:
    return RequestHead(Headers([*HEAD.headers, *more]), subset)


async def dispatch(house: House, given: RequestHead = HEAD, body: bytes | None = CHAT) -> Dispatch:
    outcome = await house.director.route(given, None if body is None else RequestBody(body))
    assert isinstance(outcome, Dispatch)
    return outcome


async def refusal(house: House, given: RequestHead = HEAD, body: bytes | None = CHAT) -> Refusal:
    outcome = await house.director.route(given, None if body is None else RequestBody(body))
    assert isinstance(outcome, Refusal)
    assert house.reports.refusals == [outcome]
    assert house.in_flight() == 0
    return outcome


def changed(**parts: object) -> Callable[[Pipeline], Pipeline]:
    return lambda pipeline: replace(pipeline, **parts)  # type: ignore[arg-type]  # fields of the dataclass by name


def test_the_director_is_a_request_handler() -> None:
    director: RequestHandler = House().director
    assert isinstance(director, Director)


async def test_a_request_is_routed_accounted_and_released() -> None:
    house = House(names=["a"])
    sent = await dispatch(house)
    assert sent.routed.destination == "10.0.0.1:8000"
    assert sent.routed.set_headers == {"x-kept-by": "bookkeeper"}
    assert sent.routed.body is None
    assert (house.in_flight(), house.book.open) == (1, 1)
    sent.finish(Termination.NATURAL)
    assert (house.in_flight(), house.book.open) == (0, 0)
    assert house.reports.dispatches == ["r1"]
    assert [completion.cause for completion in house.reports.completions] == [Termination.NATURAL]


async def test_a_request_without_a_body_is_scheduled_like_any_other() -> None:
    house = House()
    sent = await dispatch(house, head(("x", "y"), subset=("10.0.0.2:8000",)), body=None)
    assert sent.routed.destination == "10.0.0.2:8000"


async def test_a_missing_request_id_is_made_up_and_sent_on() -> None:
    house = House(names=["a"])
    sent = await dispatch(house, RequestHead(Headers([(":path", "/v1/chat/completions")])))
    assert sent.routed.set_headers["x-request-id"] == sent.request.request_id
    assert len(sent.request.request_id) == 36


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(b"{", "error unmarshaling request bodyMap: ", id="broken JSON"),
        pytest.param(b'{"messages":[1]}', "model not found in request body", id="no model"),
        pytest.param(b"", "error unmarshaling request bodyMap: ", id="an empty body"),
    ],
)
async def test_a_body_that_cannot_be_read_is_the_clients_error(body: bytes, message: str) -> None:
    refused = await refusal(House(), body=body)
    assert refused.kind is RefusalKind.BAD_REQUEST
    assert refused.message.startswith(message)


async def test_no_endpoint_within_the_subset_is_unavailable() -> None:
    refused = await refusal(House(), head(subset=()))
    assert refused == Refusal(
        RefusalKind.UNAVAILABLE,
        "failed to find endpoint candidates for serving the request",
        "rejected-no-endpoints",
    )


async def test_the_subset_can_be_switched_off() -> None:
    house = House(options=DirectorOptions(disable_subset_filter=True))
    assert (await dispatch(house, head(subset=()))).routed.destination


async def test_scores_and_fallbacks_are_emitted_when_asked_for() -> None:
    house = House(options=DirectorOptions(emit_endpoint_scores=True, fallback_endpoints=1), names=["a", "b", "c"])
    for name in ("default/a", "default/a", "default/b"):
        house.store.dispatched(name)
    sent = await dispatch(house)
    destinations = sent.routed.destination.split(",")
    assert len(destinations) == len(set(destinations)) == 2
    assert sent.routed.scores == {"10.0.0.1:8000": 0.0, "10.0.0.2:8000": 0.5, "10.0.0.3:8000": 1.0}
    picked, fallback = destinations
    others = {name: score for name, score in sent.routed.scores.items() if name != picked}
    assert fallback == max(others, key=lambda name: others[name])


async def test_explained_decisions_are_kept() -> None:
    house = House()
    house.decisions.on = True
    sent = await dispatch(house)
    assert [record.profiles[0].picked for record in house.decisions.kept] == [(sent.result.endpoint.name,)]


# --- early refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "refused"),
    [
        pytest.param("100", False, id="at the cap"),
        pytest.param("101", True, id="over the cap"),
        pytest.param("9" * 100_000, True, id="absurd"),
        pytest.param("-5", False, id="negative: not a length"),
        pytest.param("many", False, id="not a number"),
    ],
)
def test_a_declared_length_over_the_cap_is_refused_before_the_body(length: str, refused: bool) -> None:
    house = House(options=DirectorOptions(max_request_body_bytes=100))
    outcome = house.director.refuse_early(head(("content-length", length)))
    assert (outcome is not None and outcome.kind is RefusalKind.TOO_LARGE) == refused
    assert len(house.reports.refusals) == refused


def test_an_empty_subset_is_refused_before_the_body() -> None:
    outcome = House().director.refuse_early(head(subset=()))
    assert outcome is not None
    assert outcome.kind is RefusalKind.UNAVAILABLE


def test_a_draining_picker_refuses() -> None:
    house = House()
    assert house.director.refuse_early(HEAD) is None
    house.director.draining = True
    outcome = house.director.refuse_early(HEAD)
    assert outcome is not None
    assert outcome.dropped_reason == "rejected-shutting-down"


# --- plugins before the cycle ----------------------------------------------------------------------------


class Keep:
    def __init__(self, *names: str) -> None:
        self.names = names

    def screen(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        return [endpoint for endpoint in endpoints if endpoint.name in self.names]

    filter = screen


async def test_a_screener_narrows_the_candidates() -> None:
    house = House(changes=changed(screeners=(Named(Keep("default/b")),)))
    assert (await dispatch(house)).routed.destination == "10.0.0.2:8000"


async def test_screeners_that_leave_nothing_make_it_unavailable() -> None:
    refused = await refusal(House(changes=changed(screeners=(Named(Keep()),))))
    assert (refused.kind, refused.dropped_reason) == (RefusalKind.UNAVAILABLE, "rejected-no-endpoints")


async def test_an_admitter_refuses_in_its_own_words() -> None:
    own = Refusal(RefusalKind.RESOURCE_EXHAUSTED, "not today", "rejected-saturated", 3.0)

    class No:
        def admit(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Refusal | None:
            return own

    assert await refusal(House(changes=changed(admitters=(Named(No()),)))) == own


async def test_a_decision_can_be_refused_before_anything_is_accounted() -> None:
    own = Refusal(RefusalKind.RESOURCE_EXHAUSTED, "too dear", "rejected-budget", 3.0)
    asked: list[tuple[str, str]] = []

    class Dear:
        def admit_decision(
            self, request: InferenceRequest, state: CycleState, result: SchedulingResult
        ) -> Refusal | None:
            asked.append((request.target_model, result.endpoint.name))
            return own

    house = House(names=["a"], changes=changed(decision_admitters=(Named(Dear()),)))
    assert await refusal(house) == own
    assert asked == [("m", "default/a")]
    assert (house.book.open, house.reports.dispatches) == (0, [])


async def test_a_broken_admitter_of_decisions_is_an_internal_error_that_names_it() -> None:
    class Broken:
        def admit_decision(
            self, request: InferenceRequest, state: CycleState, result: SchedulingResult
        ) -> Refusal | None:
            raise KeyError("secret of the prompt")

    house = House(changes=changed(decision_admitters=(Named(Broken(), "judge"),)))
    refused = await refusal(house)
    assert (refused.kind, refused.message) == (
        RefusalKind.INTERNAL,
        "plugin 'judge' failed as DecisionAdmission",
    )


class Retargeting:
    """Runs the one profile and asks for another model, whatever the request."""

    def __init__(self, model: str) -> None:
        self.model = model

    def pick(
        self,
        request: InferenceRequest,
        state: CycleState,
        profiles: Collection[str],
        results: Mapping[str, ProfileOutcome],
    ) -> Sequence[str]:
        return () if results else tuple(profiles)

    def process_results(
        self, request: InferenceRequest, state: CycleState, results: Mapping[str, ProfileOutcome]
    ) -> SchedulingResult:
        found = {name: result for name, result in results.items() if isinstance(result, ProfileResult)}
        return SchedulingResult(next(iter(found)), found, self.model)


def retargeting(model: str) -> Callable[[Pipeline], Pipeline]:
    return lambda pipeline: replace(
        pipeline, scheduler=Scheduler(pipeline.scheduler.profiles, Named(Retargeting(model), "tree"))
    )


async def test_a_decision_for_another_model_changes_the_body_and_what_plugins_see() -> None:
    house = House(names=["a"], changes=retargeting("small"))
    sent = await dispatch(house)
    assert sent.routed.body == b'{"model":"small","messages":[{"role":"user","content":"hello"}]}'
    assert (sent.request.model, sent.request.target_model) == ("m", "small")
    assert REQUEST_BODY not in sent.state


async def test_the_client_sees_the_model_that_the_decision_chose() -> None:
    house = House(names=["a"], changes=retargeting("small"))
    sent = await dispatch(house)
    assert sent.rewrites_response is False
    sent.response_headers(Headers([(":status", "200")]))
    assert sent.response_body(b'{"model":"small"}', last=True) is None


async def test_a_decision_for_another_model_goes_before_the_client_s_rewrite_header() -> None:
    sent = await dispatch(House(changes=retargeting("small")), head(("x-llm-d-model-name-rewrite", "large")))
    assert sent.routed.body is not None
    assert sent.routed.body.startswith(b'{"model":"small"')
    assert (sent.request.model, sent.request.target_model) == ("m", "small")


async def test_a_decision_for_the_model_that_is_asked_for_anyway_changes_nothing() -> None:
    sent = await dispatch(House(changes=retargeting("m")))
    assert sent.routed.body is None


@pytest.mark.parametrize(
    ("model", "body", "problem"),
    [
        pytest.param("small", None, "whose body cannot be rewritten", id="a request without a body"),
        pytest.param("small", RequestBody(CHAT, complete=False), "whose body cannot be rewritten", id="a cut body"),
        pytest.param("s" * 1025, RequestBody(CHAT), "its model name has 1025 characters", id="an overlong name"),
    ],
)
async def test_another_model_where_it_cannot_be_had_is_a_defect_of_the_handler(
    model: str, body: RequestBody | None, problem: str
) -> None:
    house = House(changes=retargeting(model))
    outcome = await house.director.route(HEAD, body)
    assert isinstance(outcome, Refusal)
    assert outcome.message == "plugin 'tree' failed as ProcessProfilesResults"
    assert [problem in error.problem for error in house.reports.failures] == [True]
    assert (house.in_flight(), house.book.open) == (0, 0)


SEEN: StateKey[Prompt] = StateKey("seen")


class Producer:
    time_limit_seconds = 0.01

    def __init__(self, *, hang: bool = False, fail: bool = False) -> None:
        self.hang, self.fail = hang, fail
        self.finished = False

    async def produce(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> None:
        if self.fail:
            raise RuntimeError("no data")
        if self.hang:
            await asyncio.Event().wait()
        state.write(SEEN, state.read(PROMPT))
        self.finished = True


class BodyReader:
    def __init__(self) -> None:
        self.seen: list[bytes | None] = []

    async def produce(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> None:
        self.seen.append(state.get(REQUEST_BODY))

    def pre_request(
        self, request: InferenceRequest, state: CycleState, result: SchedulingResult
    ) -> Mapping[str, str] | None:
        self.seen.append(state.get(REQUEST_BODY))
        return None


async def test_the_whole_body_is_there_until_the_decision_and_kept_no_longer() -> None:
    reader = BodyReader()
    named = Named(reader)
    house = House(changes=changed(producer_stages=((named,),), pre_request=(named,)))
    await dispatch(house)
    assert reader.seen == [CHAT, None]


async def test_producers_see_the_prompt_and_run_to_their_end() -> None:
    producers = [Producer(), Producer()]
    stages = (tuple(Named(producer) for producer in producers),)
    await dispatch(House(changes=changed(producer_stages=stages)))
    assert [producer.finished for producer in producers] == [True, True]


@pytest.mark.parametrize(
    ("producer", "problem"),
    [
        pytest.param(Producer(fail=True), "RuntimeError: no data", id="it raises"),
        pytest.param(Producer(hang=True), "TimeoutError: ", id="it hangs beyond its time limit"),
    ],
)
async def test_a_producer_that_fails_costs_its_data_and_not_the_request(producer: Producer, problem: str) -> None:
    house = House(changes=changed(producer_stages=((Named(producer, "p"),),)))
    await dispatch(house)
    assert [(error.plugin, error.problem) for error in house.reports.failures] == [("p", problem)]


async def test_a_client_that_leaves_while_producers_run_is_not_accounted() -> None:
    producer = Producer(hang=True)
    producer.time_limit_seconds = 60.0
    house = House(changes=changed(producer_stages=((Named(producer),),)))
    routing = asyncio.create_task(house.director.route(HEAD, RequestBody(CHAT)))
    await asyncio.sleep(0)
    routing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await routing
    assert (house.in_flight(), house.book.open, house.reports.dispatches) == (0, 0, [])


class BrokenParser(OpenAIParser):
    def __init__(self, broken: str) -> None:
        self.broken = broken

    def parse(self, path: str, body: bytes) -> ParsedBody:
        if self.broken == "parse":
            raise KeyError("secret of the prompt")
        return super().parse(path, body)

    def rewrite_model(self, body: bytes, model: str) -> bytes:
        raise ValueError("a defect here, for the client cannot mend it")


@pytest.mark.parametrize("broken", ["parse", "rewrite_model"])
async def test_a_broken_parser_is_an_internal_error_that_names_it(broken: str) -> None:
    house = House(changes=changed(parsers=(Named(BrokenParser(broken), "mine"),)))
    refused = await refusal(house, head(("x-llm-d-model-name-rewrite", "other")))
    assert (refused.kind, refused.message) == (RefusalKind.INTERNAL, "plugin 'mine' failed as RequestParsing")
    assert [error.plugin for error in house.reports.failures] == ["mine"]


# --- outcomes of the cycle -------------------------------------------------------------------------------


def with_filter(plugin: object) -> Callable[[Pipeline], Pipeline]:
    def change(pipeline: Pipeline) -> Pipeline:
        profile = pipeline.scheduler.profiles[0]
        named = Named(plugin, "the-filter")
        stricter = SchedulerProfile(profile.name, profile.picker, (named,), profile.scorers)  # type: ignore[arg-type]
        return replace(pipeline, scheduler=Scheduler([stricter], pipeline.scheduler.profile_handler))

    return change


async def test_filters_that_leave_nothing_are_saturation() -> None:
    house = House(changes=with_filter(Keep()))
    refused = await refusal(house)
    assert (refused.kind, refused.dropped_reason) == (RefusalKind.RESOURCE_EXHAUSTED, "rejected-saturated")
    assert house.reports.unscheduled == 1


async def test_a_broken_plugin_in_the_cycle_is_an_internal_error_that_names_it() -> None:
    class Broken:
        def filter(
            self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]
        ) -> Sequence[Endpoint]:
            raise KeyError("secret of the prompt")

    house = House(changes=with_filter(Broken()))
    refused = await refusal(house)
    assert (refused.kind, refused.message) == (RefusalKind.INTERNAL, "plugin 'the-filter' failed as Filter")
    assert [error.plugin for error in house.reports.failures] == ["the-filter"]


async def test_a_failing_pre_request_plugin_releases_what_was_accounted() -> None:
    house = House()
    house.book.fail_in = "pre_request"
    refused = await refusal(house)
    assert refused.kind is RefusalKind.INTERNAL
    assert [completion.cause for completion in house.reports.completions] == [Termination.ERROR]


async def test_a_request_finishes_on_the_pipeline_it_began_with() -> None:
    house = House(names=["a"])
    sent = await dispatch(house)
    house.director.pipeline = replace(house.director.pipeline, response_complete=(), pre_request=())
    sent.finish(Termination.NATURAL)
    assert house.book.open == 0


class Waits:
    """A producer that waits; ``meanwhile`` is what happens until it goes on."""

    time_limit_seconds = 1.0

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        self._meanwhile = meanwhile

    async def produce(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> None:
        await asyncio.sleep(0)
        self._meanwhile()


def waiting(meanwhile: Callable[["House"], object]) -> "House":
    house: House
    producer = Waits(lambda: meanwhile(house))
    house = House(changes=changed(producer_stages=((Named(producer, "waits"),),)))
    return house


async def test_what_is_dispatched_while_producers_wait_counts_in_the_cycle() -> None:
    house = waiting(lambda house: house.store.dispatched("default/a"))
    scored = (await dispatch(house)).result.profiles["default"].scored
    assert [(candidate.endpoint.name, candidate.score) for candidate in scored] == [
        ("default/a", 0.0),
        ("default/b", 1.0),
    ]


async def test_an_endpoint_that_leaves_while_producers_wait_is_not_chosen() -> None:
    house = waiting(lambda house: house.store.replace([EndpointSpec("default/b", "10.0.0.2", 8000, {})]))
    sent = await dispatch(house)
    assert sent.routed.destination == "10.0.0.2:8000"


async def test_an_endpoint_that_came_while_producers_waited_has_to_wait_for_the_next_request() -> None:
    house = waiting(lambda house: house.store.replace([EndpointSpec("default/c", "10.0.0.3", 8000, {})]))
    assert (await refusal(house)).kind is RefusalKind.UNAVAILABLE
