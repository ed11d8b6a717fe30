"""Budgets and the fallback model through the director: many requests are decided while others wait."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from epp.requests.fakes import CHAT, House
from turnout.config import Pipeline, load_pipeline
from turnout.epp.requests.dispatch import Dispatch
from turnout.epp.requests.exchange import RequestBody, RequestHead
from turnout.framework import (
    CycleState,
    DataProducer,
    Endpoint,
    EndpointSpec,
    Headers,
    InferenceRequest,
    Named,
    Refusal,
    Termination,
)
from turnout.plugins.cost.budget import CostBudget
from turnout.plugins.cost.spending import UNITS

# A request costs 100 at the large model and 10 at the small one, whatever its prompt.
CONFIG = """
apiVersion: turnout/v1
kind: EndpointPickerConfig
plugins:
- type: expected-cost-producer
  parameters:
    expectedOutputTokens: 100
    prices:
    - {value: large, inputPerMillion: 0, outputPerMillion: 1000000}
    - {value: small, inputPerMillion: 0, outputPerMillion: 100000}
- type: cost-budget
  parameters: {poolPerHour: 150}
- type: cost-decision-handler
  parameters:
    start: large
    overBudget: [{profile: small, model: s}]
- {type: label-selector-filter, name: is-large, parameters: {matchLabels: {instance-type: large}}}
- {type: label-selector-filter, name: is-small, parameters: {matchLabels: {instance-type: small}}}
- type: random-picker
schedulingProfiles:
- name: large
  plugins: [{pluginRef: is-large}, {pluginRef: random-picker}]
- name: small
  plugins: [{pluginRef: is-small}, {pluginRef: random-picker}]
"""
POOL = [
    EndpointSpec("default/large", "10.0.0.1", 8000, {"instance-type": "large"}),
    EndpointSpec("default/small", "10.0.0.2", 8000, {"instance-type": "small"}),
]


class Turns:
    """A producer that lets others go on, so that requests are decided in each other's midst."""

    async def produce(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> None:
        for _ in range(int(request.request_id.removeprefix("r") or 0) % 4):
            await asyncio.sleep(0)


def house(pipeline: Pipeline | None = None) -> House:
    turns: Named[DataProducer] = Named(Turns())
    loaded = pipeline or load_pipeline(CONFIG)
    made = House(changes=lambda _: replace(loaded, producer_stages=(*loaded.producer_stages, (turns,))))
    made.store.replace(POOL)
    return made


async def send(house: House, number: int, *, complete: bool = True) -> Dispatch | Refusal:
    headers = Headers([(":path", "/v1/chat/completions"), ("x-request-id", f"r{number}")])
    outcome = await house.director.route(RequestHead(headers), RequestBody(CHAT, complete))
    assert isinstance(outcome, Dispatch | Refusal)
    return outcome


def counts(outcomes: Sequence[Dispatch | Refusal]) -> tuple[int, int, int]:
    """How many went to the large model, to the small one, and nowhere."""
    sent = [outcome.routed.destination for outcome in outcomes if isinstance(outcome, Dispatch)]
    return sent.count("10.0.0.1:8000"), sent.count("10.0.0.2:8000"), len(outcomes) - len(sent)


def budget_of(house: House) -> CostBudget:
    plugin = house.director.pipeline.plugins["cost-budget"]
    assert isinstance(plugin, CostBudget)
    return plugin


async def test_requests_that_come_at_once_share_the_budget_to_the_last_unit() -> None:
    here = house()
    outcomes = await asyncio.gather(*(send(here, number) for number in range(40)))
    assert counts(outcomes) == (1, 5, 34)
    assert budget_of(here)._pool.reserved == 150 * UNITS
    refused = next(outcome for outcome in outcomes if isinstance(outcome, Refusal))
    assert (refused.dropped_reason, refused.retry_after_seconds) == ("rejected-budget", 60)
    assert here.in_flight() == 6


async def test_who_ends_with_an_error_gives_the_money_back() -> None:
    here = house()
    first = await send(here, 1)
    assert isinstance(first, Dispatch)
    first.response_headers(Headers([(":status", "503")]))
    first.finish(Termination.NATURAL)
    first.finish(Termination.ERROR)
    assert counts([await send(here, 2)]) == (1, 0, 0)


async def test_a_reload_keeps_what_is_reserved_and_spent() -> None:
    here = house()
    first = await send(here, 1)
    assert isinstance(first, Dispatch)
    here.director.pipeline = load_pipeline(
        CONFIG.replace("- type: random-picker\n", "- type: max-score-picker\n").replace(
            "random-picker", "max-score-picker"
        ),
        previous=here.director.pipeline,
    )
    assert counts([await send(here, 2)]) == (0, 1, 0)
    first.finish(Termination.NATURAL)
    assert (budget_of(here)._pool.spent, budget_of(here)._pool.reserved) == (100 * UNITS, 10 * UNITS)


async def test_over_budget_the_request_is_rewritten_and_the_client_told() -> None:
    here = house()
    await send(here, 1)
    second = await send(here, 2)
    assert isinstance(second, Dispatch)
    assert second.routed.body == b'{"model":"s","messages":[{"role":"user","content":"hello"}]}'
    assert (second.request.model, second.request.target_model) == ("m", "s")
    told = second.response_headers(Headers([(":status", "200")]))
    assert told["x-turnout-model-fallback"] == "s; reason=budget"


async def test_a_body_that_was_cut_short_is_refused_instead_of_rewritten() -> None:
    here = house()
    await send(here, 1)
    assert counts([await send(here, 2, complete=False)]) == (0, 0, 1)


@pytest.mark.parametrize("header", ["x-turnout-cost-budget", "x-cost-budget", "cost_budget"])
async def test_a_request_s_own_budget_is_held_by_the_smaller_model(header: str) -> None:
    here = house()
    headers = Headers([(":path", "/v1/chat/completions"), (header, "50")])
    outcome = await here.director.route(RequestHead(headers), RequestBody(CHAT))
    assert isinstance(outcome, Dispatch)
    assert outcome.request.target_model == "s"


async def test_the_steps_are_in_the_explained_decision() -> None:
    here = house()
    here.decisions.on = True
    await send(here, 1)
    await send(here, 2)
    assert [record.target_model for record in here.decisions.kept] == ["", "s"]
    assert here.decisions.kept[1].reasons == (
        "large at default/large: SLO met (no target)",
        "large at default/large: over budget (pool)",
        "small with s at default/small: taken, within budget",
    )
