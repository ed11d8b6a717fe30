"""Gangs behind a real Envoy: prefill and decode of one node, each in one gang at a time."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from integration.gateways import EPP, Answer, Mode, World, chat, until, world
from integration.model_servers import ModelServer, model_servers

pytestmark = pytest.mark.integration

CONFIG = """
apiVersion: turnout/v1
kind: EndpointPickerConfig
featureGates: [flowControl]
plugins:
- type: gang-profile-handler
  parameters:
    members:
    - {profile: prefill, count: 0, matchLabels: {llm-d.ai/role: prefill}}
    - {profile: decode, matchLabels: {llm-d.ai/role: decode}}
    constraints: [{sameNode: true}]
    slotsPerEndpoint: 1
- type: disagg-headers-handler
- type: concurrency-detector
  parameters: {maxConcurrency: 100}
- type: random-picker
schedulingProfiles:
- name: prefill
- name: decode
flowControl:
  saturationDetector: {pluginRef: concurrency-detector}
  defaultRequestTTL: 20s
"""
# Another node has a prefill endpoint of its own, and nobody to decode.
NODES = {"d1": "n1", "d2": "n1", "p1": "n1", "p2": "n1", "p3": "n2"}
MEMBERS = "x-turnout-gang-members"
PREFILLER = "x-prefiller-host-port"


@pytest.fixture
async def servers() -> AsyncIterator[list[ModelServer]]:
    async with model_servers(*NODES) as running:
        for server in running:
            server.behaviour = "hold"
        yield running


@pytest.fixture
async def running(mode: Mode, servers: list[ModelServer], tmp_path: Path) -> AsyncIterator[World]:
    roles = {"d": "decode", "p": "prefill"}
    urls = [
        f"{server.url},llm-d.ai/role={roles[server.name[0]]},kubernetes.io/hostname={NODES[server.name]}"
        for server in servers
    ]
    async with world(mode, tmp_path, urls, replace(EPP, config_text=CONFIG)) as started:
        yield started


def ask(running: World, answers: int, *headers: tuple[str, str]) -> "asyncio.Task[Answer]":
    sent = [("content-type", "application/json"), *headers]
    return asyncio.ensure_future(
        running.gateway.send("POST", body=chat(n=answers), path="/v1/chat/completions", headers=sent)
    )


async def arrivals(servers: list[ModelServer], count: int) -> None:
    async def all_there() -> bool:
        return sum(len(server.received) for server in servers) == count

    await until(all_there, f"{count} requests at model servers")


async def waits(running: World, count: int) -> None:
    async def queued() -> bool:
        return (await running.pages.get("/queue"))["queued"] == count

    await until(queued, f"{count} requests in the queue")


def release(servers: list[ModelServer]) -> None:
    for server in servers:
        server.permits.release()


async def test_a_gang_that_must_wait_for_busy_members_is_served_after_they_part(
    running: World, servers: list[ModelServer]
) -> None:
    first = ask(running, 2, (MEMBERS, "decode=6.6.6.6:1"))
    await arrivals(servers, 1)
    second = ask(running, 1)
    await waits(running, 1)
    page = await running.pages.metrics()
    assert (
        'turnout_gang_slots{plugin_name="gang-profile-handler",plugin_type="gang-profile-handler",state="booked"} 3.0'
        in page
    )
    release(servers)
    assert (await first).status == 200
    await arrivals(servers, 2)
    release(servers)
    assert (await second).status == 200
    ports = {f"127.0.0.1:{server.port}": server.name for server in servers}
    whole, pair = sorted(
        (one for server in servers for one in server.received), key=lambda one: -len(one.all(MEMBERS)[0])
    )
    for received, count in ((whole, 3), (pair, 2)):
        (told,) = received.all(MEMBERS)
        gang = [member.split("=") for member in told.split(",")]
        names = [ports[address] for _, address in gang]
        assert len(names) == len(set(names)) == count
        assert [profile for profile, _ in gang] == ["prefill"] * (count - 1) + ["decode"]
        assert {NODES[name] for name in names} == {"n1"}
        assert received.all(PREFILLER) == [gang[0][1]]
    await running.pages.settled()


async def test_a_gang_that_can_never_be_is_refused_at_once_and_told_why(
    running: World, servers: list[ModelServer]
) -> None:
    busy = ask(running, 2)
    await arrivals(servers, 1)
    answer = await ask(running, 4)
    assert answer.status == 503
    assert answer.headers["x-llm-d-request-dropped-reason"] == "rejected-no-gang"
    assert answer.error["message"] == (
        "inference error: ServiceUnavailable - the 5 endpoints cannot form a gang of 4 x prefill, decode: "
        "3 can be prefill"
    )
    apart = await ask(running, 3)
    assert apart.status == 503
    assert str(apart.error["message"]).endswith("a gang of 3 x prefill, decode that meets the constraints")
    assert not busy.done()
    release(servers)
    assert (await busy).status == 200
    await running.pages.settled()
    page = await running.pages.metrics()
    labels = 'plugin_name="gang-profile-handler",plugin_type="gang-profile-handler"'
    assert f'turnout_gangs_total{{outcome="impossible",{labels}}} 2.0' in page
    assert f'turnout_gang_slots{{{labels},state="booked"}} 0.0' in page


async def test_a_client_that_leaves_lets_the_next_gang_go(running: World, servers: list[ModelServer]) -> None:
    leaving = ask(running, 2)
    await arrivals(servers, 1)
    second = ask(running, 2)
    await waits(running, 1)
    leaving.cancel()
    await arrivals(servers, 2)
    release(servers)
    assert (await second).status == 200
    await running.pages.settled()
