"""Gangs through the director and real flow control, on virtual time."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from functools import wraps

from epp.requests.fakes import CHAT, Clock, House
from turnout.config import load_pipeline
from turnout.epp.flowcontrol.legacy import LegacyAdmission
from turnout.epp.flowcontrol.observer import Unobserved
from turnout.epp.flowcontrol.shell import FlowControl
from turnout.epp.requests.admission import AdmissionControl
from turnout.epp.requests.dispatch import Dispatch
from turnout.epp.requests.exchange import RequestBody, RequestHead
from turnout.epp.simulator.replay.virtual_time import run_virtually
from turnout.framework import (
    CycleState,
    DataProducer,
    Endpoint,
    EndpointSpec,
    Headers,
    InferenceRequest,
    Named,
    Refusal,
    RefusalKind,
    Termination,
)
from turnout.plugins.gang.books import Held
from turnout.plugins.gang.handler import GangProfileHandler

CONFIG = """
apiVersion: turnout/v1
kind: EndpointPickerConfig
featureGates: [flowControl]
plugins:
- type: gang-profile-handler
  parameters:
    members:
    - {profile: prefill, count: 0, matchLabels: {role: prefill}}
    - {profile: decode, matchLabels: {role: decode}}
    constraints: [{same: [zone]}]
    slotsPerEndpoint: 1
- type: concurrency-detector
  parameters: {maxConcurrency: 100}
- type: openai-parser
- type: random-picker
schedulingProfiles:
- name: prefill
- name: decode
flowControl:
  saturationDetector: {pluginRef: concurrency-detector}
  defaultRequestTTL: 100s
"""
PAIR = b'{"model":"m","n":2,"messages":[{"role":"user","content":"hello"}]}'
CROWD = b'{"model":"m","n":4,"messages":[{"role":"user","content":"hello"}]}'


def spec(name: str, number: int, role: str, zone: str = "a") -> EndpointSpec:
    return EndpointSpec(f"default/{name}", f"10.0.0.{number}", 8000, {"role": role, "zone": zone})


POOL = [
    spec("p1", 1, "prefill"),
    spec("p2", 2, "prefill"),
    spec("p3", 3, "prefill", "b"),
    spec("d1", 4, "decode"),
    spec("d2", 5, "decode"),
]


class LoopClock(Clock):
    """The clock of the running loop."""

    def __call__(self) -> float:
        return asyncio.get_running_loop().time()


class Slow:
    """A producer that takes a second."""

    time_limit_seconds = 2.0

    async def produce(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> None:
        await asyncio.sleep(1.0)


class Here:
    """A house with gangs, and requests to it."""

    def __init__(self) -> None:
        pipeline = load_pipeline(CONFIG)
        slow: Named[DataProducer] = Named(Slow())
        self.pipeline = pipeline = replace(pipeline, producer_stages=(*pipeline.producer_stages, (slow,)))
        self.house = House(changes=lambda _: pipeline, admission=self._admission, clock=LoopClock())
        self.house.store.replace(POOL)
        plugin = pipeline.plugins["gang-profile-handler"]
        assert isinstance(plugin, GangProfileHandler)
        self.handler = plugin
        self.handler.endpoints_changed(self.house.store.snapshot())

    def _admission(self, house: House) -> AdmissionControl:
        assert self.pipeline.flow_control is not None
        self.flow = FlowControl(
            self.pipeline.flow_control, house.store, Unobserved(), house.reports.failures.append, house.clock
        )
        return self.flow

    def send(self, body: bytes = CHAT) -> "asyncio.Task[Dispatch | Refusal]":
        async def route() -> Dispatch | Refusal:
            headers = Headers([(":path", "/v1/chat/completions")])
            outcome = await self.house.director.route(RequestHead(headers), RequestBody(body))
            assert isinstance(outcome, Dispatch | Refusal)
            return outcome

        return asyncio.ensure_future(route())

    @property
    def held(self) -> Held:
        return self.handler._books.held()

    def at_rest(self) -> bool:
        return self.held == Held(0, 0) and self.house.in_flight() == 0 and self.flow.controller.length == 0


def virtual(test: Callable[[], Coroutine[object, object, None]]) -> Callable[[], None]:
    @wraps(test)
    def run() -> None:
        run_virtually(test())

    return run


def members(outcome: Dispatch | Refusal) -> int:
    """How many endpoints the destination was told of."""
    assert isinstance(outcome, Dispatch)
    return outcome.routed.set_headers["x-turnout-gang-members"].count("=")


@virtual
async def test_gangs_wait_for_each_other_and_all_are_served() -> None:
    here = Here()
    first, pair, last = here.send(), here.send(PAIR), here.send()
    await asyncio.sleep(0.5)
    assert here.held == Held(2, 0)  # its producers still run; of the second the place of one is taken
    running = await first
    await asyncio.sleep(10.0)
    assert not pair.done()
    assert here.held == Held(0, 2)
    assert isinstance(running, Dispatch)
    running.finish(Termination.NATURAL)
    whole = await pair
    assert members(whole) == 3
    assert isinstance(whole, Dispatch)
    await asyncio.sleep(10.0)
    assert not last.done()
    whole.finish(Termination.CLIENT_DISCONNECT)
    ended = await last
    assert isinstance(ended, Dispatch)
    ended.finish(Termination.NATURAL)
    assert here.at_rest()
    assert here.house.reports.failures == []


@virtual
async def test_two_gangs_that_fit_together_run_together() -> None:
    here = Here()
    both = await asyncio.gather(here.send(), here.send())
    assert [members(outcome) for outcome in both] == [2, 2]
    assert here.held == Held(0, 4)
    destinations = [outcome.routed.destination for outcome in both if isinstance(outcome, Dispatch)]
    assert sorted(destinations) == ["10.0.0.4:8000", "10.0.0.5:8000"]


@virtual
async def test_what_can_never_be_is_refused_at_once_and_nobody_waits_behind_it() -> None:
    here = Here()
    running = await here.send(PAIR)
    assert isinstance(running, Dispatch)
    now = asyncio.get_running_loop().time()
    refusal = await here.send(CROWD)
    assert refusal == Refusal(
        kind=RefusalKind.UNAVAILABLE,
        message="the 5 endpoints cannot form a gang of 4 x prefill, decode: 3 can be prefill",
        dropped_reason="rejected-no-gang",
    )
    assert asyncio.get_running_loop().time() == now + 1.0  # what its producers take
    running.finish(Termination.NATURAL)
    assert here.at_rest()


@virtual
async def test_a_client_that_leaves_gives_back_what_was_reserved_for_it() -> None:
    here = Here()
    leaving = here.send(PAIR)
    await asyncio.sleep(0.5)
    assert here.held == Held(3, 0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    assert here.at_rest()


@virtual
async def test_an_endpoint_that_leaves_before_the_pick_costs_the_request_and_no_place() -> None:
    here = Here()
    sent = here.send(PAIR)
    await asyncio.sleep(0.5)
    here.house.store.replace([each for each in POOL if each.name != "default/p2"])
    here.handler.endpoints_changed(here.house.store.snapshot())
    outcome = await sent
    assert isinstance(outcome, Refusal)
    assert outcome.message.endswith("2 x prefill, decode that meets the constraints")
    assert here.at_rest()


@virtual
async def test_a_request_whose_time_to_live_is_over_has_held_nothing() -> None:
    here = Here()
    running = await here.send(PAIR)
    outcome = await here.send()
    assert isinstance(outcome, Refusal)
    assert outcome.dropped_reason == "rejected-ttl-expired"
    assert isinstance(running, Dispatch)
    running.finish(Termination.NATURAL)
    assert here.at_rest()


@virtual
async def test_a_reload_that_keeps_the_parameters_keeps_the_books() -> None:
    here = Here()
    running = await here.send(PAIR)
    text = CONFIG.replace("maxConcurrency: 100", "maxConcurrency: 50")
    here.house.director.pipeline = load_pipeline(text, previous=here.pipeline)
    assert here.house.director.pipeline.plugins["gang-profile-handler"] is here.handler
    waiting = here.send()
    await asyncio.sleep(5.0)
    assert not waiting.done()
    assert isinstance(running, Dispatch)
    running.finish(Termination.NATURAL)
    assert members(await waiting) == 2


@virtual
async def test_where_the_gate_is_closed_what_is_busy_is_refused_and_what_is_impossible_told_so() -> None:
    here = Here()
    here.house.director.admission = LegacyAdmission(
        None, here.house.store.candidates, here.house.reports.failures.append, here.house.clock
    )
    running = await here.send(PAIR)
    assert members(running) == 3
    busy, impossible = await asyncio.gather(here.send(), here.send(CROWD))
    assert isinstance(busy, Refusal)
    assert isinstance(impossible, Refusal)
    assert [busy.dropped_reason, impossible.dropped_reason] == ["rejected-saturated", "rejected-no-gang"]
    assert here.held == Held(0, 3)
