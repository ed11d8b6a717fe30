"""Prefill and decode apart, behind a real Envoy."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from integration.gateways import EPP, Mode, World, chat, world
from integration.model_servers import ModelServer, model_servers

pytestmark = pytest.mark.integration

CONFIG = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- type: prefix-based-pd-decider
  parameters: {nonCachedTokens: 100}
- type: disagg-profile-handler
  parameters: {deciders: {prefill: prefix-based-pd-decider}}
- type: prefill-filter
- type: decode-filter
- type: active-request-scorer
- type: max-score-picker
schedulingProfiles:
- name: prefill
  plugins: [{pluginRef: prefill-filter}, {pluginRef: active-request-scorer}, {pluginRef: max-score-picker}]
- name: decode
  plugins: [{pluginRef: decode-filter}, {pluginRef: active-request-scorer}, {pluginRef: max-score-picker}]
"""
ROLES = {"d1": "decode", "d2": "decode", "p1": "prefill", "p2": "prefill"}
PREFILLER = "x-prefiller-host-port"


@pytest.fixture
async def servers() -> AsyncIterator[list[ModelServer]]:
    async with model_servers(*ROLES) as running:
        yield running


@pytest.fixture
async def running(mode: Mode, servers: list[ModelServer], tmp_path: Path) -> AsyncIterator[World]:
    urls = [f"{server.url},llm-d.ai/role={ROLES[server.name]}" for server in servers]
    async with world(mode, tmp_path, urls, replace(EPP, config_text=CONFIG)) as started:
        yield started


async def test_a_long_prompt_is_computed_elsewhere_and_the_engine_that_decodes_is_told_where(
    running: World, servers: list[ModelServer]
) -> None:
    forged = [(PREFILLER, "6.6.6.6:1")]
    answers = await asyncio.gather(
        *(running.gateway.chat(f"{number} " + "word " * 500, headers=forged) for number in range(12))
    )
    assert {answer.served for answer in answers} == {"d1", "d2"}
    told = Counter(value for server in servers for request in server.received for value in request.all(PREFILLER))
    assert sorted(told) == sorted(str(server.address) for server in servers if server.name.startswith("p"))
    assert sum(told.values()) == 12
    await running.pages.settled()


async def test_a_short_prompt_stays_where_it_is_decoded(running: World, servers: list[ModelServer]) -> None:
    answer = await running.gateway.send("POST", "/v1/chat/completions", chat("Hello"), [(PREFILLER, "6.6.6.6:1")])
    assert answer.served in ("d1", "d2")
    (request,) = (request for server in servers for request in server.received)
    assert request.all(PREFILLER) == []
