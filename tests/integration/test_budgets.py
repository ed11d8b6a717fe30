"""A budget and a fallback model behind a real Envoy."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from integration.gateways import EPP, MODEL, Mode, World, world
from integration.model_servers import ModelServer, model_servers

pytestmark = pytest.mark.integration

SMALL = "small/model-0.6b"
# A request costs 100 at the large model and 10 at the small one.
CONFIG = f"""
apiVersion: turnout/v1
kind: EndpointPickerConfig
plugins:
- type: expected-cost-producer
  parameters:
    expectedOutputTokens: 100
    prices:
    - {{value: large, inputPerMillion: 0, outputPerMillion: 1000000}}
    - {{value: small, inputPerMillion: 0, outputPerMillion: 100000}}
- type: cost-budget
  parameters: {{poolPerHour: 150}}
- type: cost-decision-handler
  parameters:
    start: large
    overBudget: [{{profile: small, model: {SMALL}}}]
- {{type: label-selector-filter, name: is-large, parameters: {{matchLabels: {{instance-type: large}}}}}}
- {{type: label-selector-filter, name: is-small, parameters: {{matchLabels: {{instance-type: small}}}}}}
- type: random-picker
schedulingProfiles:
- name: large
  plugins: [{{pluginRef: is-large}}, {{pluginRef: random-picker}}]
- name: small
  plugins: [{{pluginRef: is-small}}, {{pluginRef: random-picker}}]
"""


@pytest.fixture
async def servers() -> AsyncIterator[list[ModelServer]]:
    async with model_servers("large", "small") as running:
        yield running


@pytest.fixture
async def running(mode: Mode, servers: list[ModelServer], tmp_path: Path) -> AsyncIterator[World]:
    urls = [f"{server.url},instance-type={server.name}" for server in servers]
    async with world(mode, tmp_path, urls, replace(EPP, config_text=CONFIG)) as started:
        yield started


async def test_over_budget_a_smaller_model_answers_and_says_so(running: World, servers: list[ModelServer]) -> None:
    first = await running.gateway.chat()
    assert (first.served, first.json["model"]) == ("large", MODEL)
    assert "x-turnout-model-fallback" not in first.headers
    second = await running.gateway.chat(headers=[("x-turnout-cost-budget", "20")])
    assert (second.status, second.served) == (200, "small")
    assert second.headers["x-turnout-model-fallback"] == f"{SMALL}; reason=budget"
    # The client sees which model answered, in every body mode.
    assert second.json["model"] == SMALL
    [request] = servers[1].received
    assert json.loads(request.body) == {"model": SMALL, "messages": [{"role": "user", "content": "Hello"}]}
    assert request.all("x-turnout-cost-budget") == []
    await running.pages.settled()


async def test_a_budget_is_held_exactly_by_requests_that_come_at_once(
    running: World, servers: list[ModelServer]
) -> None:
    answers = await asyncio.gather(*(running.gateway.chat() for _ in range(30)))
    served = [answer.served for answer in answers if answer.status == 200]
    assert (served.count("large"), served.count("small")) == (1, 5)
    refused = [answer for answer in answers if answer.status != 200]
    assert {answer.status for answer in refused} == {429}
    assert {answer.headers["x-llm-d-request-dropped-reason"] for answer in refused} == {"rejected-budget"}
    assert all(1 <= int(answer.headers["retry-after"]) <= 3660 for answer in refused)
    await running.pages.settled()
    metrics = await running.pages.metrics()
    spent = [line for line in metrics.splitlines() if line.startswith("turnout_cost_spent_total{")]
    assert sorted(float(line.rpartition(" ")[2]) for line in spent) == [50.0, 100.0]


@pytest.mark.parametrize("budget", ["abc", "-1", "NaN"])
async def test_a_budget_that_is_no_number_is_refused(running: World, servers: list[ModelServer], budget: str) -> None:
    answer = await running.gateway.chat(headers=[("cost_budget", budget)])
    assert (answer.status, answer.error["type"]) == (400, "invalid_request_error")
    assert servers[0].received == servers[1].received == []
