"""Requests that are taken back while simulated engines work on them, through a real Envoy."""

import asyncio
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest

from integration.evicting_picker import EvictingWorld, evicting_world
from integration.gateways import CHAT, MODEL, chat, until
from integration.raw_http import Http2Client
from turnout.epp.flowcontrol.outcomes import EVICTED_WHILE_RUNNING as EVICTED
from turnout.epp.gateway.options import RequestBodyMode
from turnout.epp.simulator.options import SimServerOptions
from turnout.epp.simulator.server import RunningSimServer, start_sim_server
from turnout.framework import Termination

pytestmark = pytest.mark.integration

LONG = chat(max_tokens=30_000)
LONG_STREAM = chat(max_tokens=30_000, stream=True)
RUNNING = "vllm:num_requests_running{"
ABORTED = 'vllm:request_success_total{engine="0",finished_reason="abort"'


@pytest.fixture
async def engine() -> AsyncIterator[RunningSimServer]:
    """Ten times as fast as a real one: 30,000 tokens take a quarter of a minute."""
    running = await start_sim_server(SimServerOptions(port=0, time_scale=0.1))
    yield running
    await running.close()


@pytest.fixture(
    params=[
        pytest.param("buffered", id="as turnout up"),
        pytest.param("none", id="as turnout up, no bodies"),
        pytest.param("full-duplex", id="full duplex"),
    ]
)
async def world(request: pytest.FixtureRequest, engine: RunningSimServer) -> AsyncIterator[EvictingWorld]:
    mode: RequestBodyMode = request.param
    async with evicting_world(mode, [engine.url]) as running:
        yield running


async def engine_says(world: EvictingWorld, engine: RunningSimServer, series: str, value: int) -> None:
    """Returns when the series on the engine's metrics page has the value."""

    async def so() -> bool:
        async with world.client.get(f"{engine.url}/metrics") as response:
            page = await response.text()
        line = next(line for line in page.splitlines() if line.startswith(series))
        return float(line.rpartition(" ")[2]) == value

    await until(so, f"{series} {value}")


def causes(world: EvictingWorld) -> list[Termination]:
    return [completion.cause for completion in world.reports.completions]


async def accounts_are_closed(world: EvictingWorld) -> None:
    async def closed() -> bool:
        return (world.server.stats.in_flight, world.in_flight, len(world.leases)) == (0, 0, 0)

    await until(closed, "every stream over and every request released")
    assert all(status.in_service for status in world.store.statuses())


async def answered(world: EvictingWorld) -> None:
    """Another request, which is answered."""
    before = len(world.reports.completions)
    async with world.client.post(world.url + CHAT, data=chat(max_tokens=5)) as response:
        assert response.status == 200
        assert (await response.json())["model"] == MODEL

    async def ended() -> bool:
        return len(world.reports.completions) == before + 1

    await until(ended, "the end of the request")
    assert causes(world)[-1] is Termination.NATURAL


async def test_before_the_response_the_client_is_told_and_the_engine_stops(
    world: EvictingWorld, engine: RunningSimServer
) -> None:
    asking = asyncio.create_task(world.client.post(world.url + CHAT, data=LONG))
    (sent,) = await world.under_way()
    await engine_says(world, engine, RUNNING, 1)
    assert world.in_flight == 1
    assert not sent.response_begun
    assert sent.evict(EVICTED)
    assert (world.in_flight, causes(world)) == (0, [Termination.EVICTED])
    assert not sent.evict(EVICTED)
    async with await asking as response:
        assert response.status == 429
        assert response.headers["x-llm-d-request-dropped-reason"] == "evicted"
        assert response.headers["retry-after"] == "1"
        assert response.headers["content-type"] == "application/json"
        error = (await response.json())["error"]
        assert (error["type"], error["code"]) == ("rate_limit_error", "evicted")
    await engine_says(world, engine, ABORTED, 1)
    await accounts_are_closed(world)
    await answered(world)
    assert causes(world) == [Termination.EVICTED, Termination.NATURAL]


async def test_amid_the_response_it_breaks_off_and_the_engine_stops(
    world: EvictingWorld, engine: RunningSimServer
) -> None:
    async with world.client.post(world.url + CHAT, data=LONG_STREAM) as response:
        assert response.status == 200
        for _ in range(20):
            await response.content.readuntil(b"\n\n")
        (sent,) = await world.under_way()

        async def begun() -> bool:
            return sent.response_begun

        await until(begun, "the head of the response")
        assert sent.evict(EVICTED)
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
    await engine_says(world, engine, ABORTED, 1)
    await accounts_are_closed(world)
    assert causes(world) == [Termination.EVICTED]
    await answered(world)


async def test_the_access_log_of_an_evicted_request_comes_after_its_end_and_changes_nothing(
    engine: RunningSimServer,
) -> None:
    async with evicting_world("buffered", [engine.url]) as world:
        asking = asyncio.create_task(world.client.post(world.url + CHAT, data=LONG))
        (sent,) = await world.under_way()
        await engine_says(world, engine, RUNNING, 1)
        assert sent.evict(EVICTED)
        (await asking).close()

        async def logged() -> bool:
            return len(world.ends) == 1

        await until(logged, "the access log")
        assert (world.ends[0].status, world.ends[0].attempts) == (429, 1)
        assert causes(world) == [Termination.EVICTED]
        await accounts_are_closed(world)


async def test_requests_beside_an_evicted_one_go_on_on_the_same_connection(
    world: EvictingWorld, engine: RunningSimServer
) -> None:
    async with Http2Client.connected(world.port) as client:
        first = await client.post(CHAT, LONG_STREAM)
        await client.read_until(lambda: client.body(first).count(b"\n\n") > 20)
        (sent,) = await world.under_way()
        second = await client.post(CHAT, chat(max_tokens=500))
        await world.under_way(after=1)
        assert sent.evict(EVICTED)
        await client.read_until(lambda: client.ended(first) and client.ended(second))
        assert client.was_reset(first)
        assert not client.was_reset(second)
        assert json.loads(client.body(second))["usage"]["completion_tokens"] == 500
        third = await client.post(CHAT, LONG)
        (last,) = await world.under_way(after=2)
        await engine_says(world, engine, RUNNING, 1)
        assert last.evict(EVICTED)
        await client.read_until(lambda: client.ended(third))
        assert not client.was_reset(third)
        assert json.loads(client.body(third))["error"]["code"] == "evicted"
    await engine_says(world, engine, ABORTED, 2)
    await accounts_are_closed(world)


async def test_many_are_evicted_at_once_and_each_is_accounted_once(
    world: EvictingWorld, engine: RunningSimServer
) -> None:
    asking = {
        f"r{number}": asyncio.create_task(
            world.client.post(world.url + CHAT, data=LONG, headers={"x-request-id": f"r{number}"})
        )
        for number in range(30)
    }
    sent = await world.under_way(30)
    await engine_says(world, engine, RUNNING, 30)
    assert [one.evict(EVICTED) for one in sent[:20]] == [True] * 20
    assert world.in_flight == 10
    # They need not have come in the order in which they were sent.
    for one in sent[20:]:
        asking[one.request.request_id].cancel()
    done = await asyncio.gather(*asking.values(), return_exceptions=True)
    statuses = [response.status for response in done if isinstance(response, aiohttp.ClientResponse)]
    assert statuses == [429] * len(statuses)
    await engine_says(world, engine, ABORTED, 30)

    async def all_ended() -> bool:
        return len(world.reports.completions) == 30

    await until(all_ended, "thirty ends")
    assert sorted(causes(world)) == [Termination.CLIENT_DISCONNECT] * 10 + [Termination.EVICTED] * 20
    await accounts_are_closed(world)


async def test_an_evictable_request_that_is_left_alone_ends_as_any_other(world: EvictingWorld) -> None:
    for body in (chat(max_tokens=20), chat(max_tokens=20, stream=True)):
        async with world.client.post(world.url + CHAT, data=body) as response:
            assert response.status == 200
            assert (await response.read()).endswith((b"}", b"data: [DONE]\n\n"))

    async def both_ended() -> bool:
        return len(world.reports.completions) == 2

    await until(both_ended, "two ends")
    assert causes(world) == [Termination.NATURAL] * 2
    await accounts_are_closed(world)


@pytest.mark.parametrize("request_body", ["buffered", "none"])
async def test_the_stream_of_a_request_that_is_not_evictable_is_over_before_its_response(
    request_body: RequestBodyMode, engine: RunningSimServer
) -> None:
    async with evicting_world(request_body, [engine.url]) as world:
        world.director.evictable = False
        async with world.client.post(world.url + CHAT, data=LONG_STREAM) as response:
            await response.content.readuntil(b"\n\n")
            await world.streams_over()
            (sent,) = world.director.dispatched
            assert not sent.evict(EVICTED)
            assert world.in_flight == 1
            await response.content.readuntil(b"\n\n")
        await engine_says(world, engine, ABORTED, 1)


@pytest.mark.parametrize("request_body", ["buffered", "none"])
async def test_fast_responses_pass_streams_that_close_with_the_decision(
    request_body: RequestBodyMode, engine: RunningSimServer
) -> None:
    async with evicting_world(request_body, [engine.url]) as world:
        world.director.evictable = False

        async def many() -> list[int]:
            statuses = []
            for _ in range(50):
                async with world.client.get(f"{world.url}/v1/models") as response:
                    statuses.append(response.status)
            return statuses

        assert await asyncio.gather(*(many() for _ in range(8))) == [[200] * 50] * 8
        await accounts_are_closed(world)


@pytest.mark.parametrize("request_body", ["buffered", "none"])
async def test_a_response_goes_on_when_the_picker_stops(
    request_body: RequestBodyMode, engine: RunningSimServer
) -> None:
    async with (
        evicting_world(request_body, [engine.url]) as world,
        world.client.post(world.url + CHAT, data=chat(max_tokens=3_000, stream=True)) as response,
    ):
        await response.content.readuntil(b"\n\n")
        await world.under_way()
        await world.server.stop()
        assert world.server.stats.ended == {"OK": 1}
        assert (await response.read()).endswith(b"data: [DONE]\n\n")
