"""What clients see when the Endpoint Picker dies or is told to stop while a real Envoy serves."""

import asyncio
import itertools
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from integration.gateways import CHAT, Gateway, Mode, chat, until
from integration.load import Load
from integration.model_servers import ModelServer, model_servers
from integration.picker_process import PickerProcess, separate_picker
from turnout.epp.simulator.options import SimServerOptions
from turnout.epp.simulator.server import RunningSimServer, start_sim_server

pytestmark = pytest.mark.integration

DESTINATION = "x-gateway-destination-endpoint"


def listing(servers: list[ModelServer]) -> list[str]:
    return [argument for server in servers for argument in ("--endpoint", server.url)]


async def picks_again(gateway: Gateway, servers: list[ModelServer]) -> None:
    """Returns when the endpoints see the picker's mark again, which nothing else sets."""
    prompts = (f"again {number}" for number in itertools.count())

    async def picked() -> bool:
        answer = await gateway.chat(next(prompts))
        by_name = {server.name: server for server in servers}
        return answer.status == 200 and bool(by_name[answer.served].received[-1].all(DESTINATION))

    await until(picked, "a decision of the new picker")


async def test_with_failure_mode_allow_a_killed_picker_costs_no_request(
    servers: list[ModelServer], tmp_path: Path
) -> None:
    arguments = listing(servers)
    async with separate_picker(Mode.BUFFERED, tmp_path, arguments, failure_mode_allow=True) as (gateway, picker):
        async with Load(gateway) as load:
            await load.answered(50)
            await picker.kill()
            await load.answered(100)
        assert set(load.outcomes) == {200}
        assert all(server.received for server in servers)

        await picker.start()
        await picks_again(gateway, servers)
        await gateway.still_serves()


@pytest.mark.parametrize(
    "forged",
    [
        pytest.param(DESTINATION, id="the destination"),
        pytest.param("x-envoy-original-dst-host", id="the destination in Envoy's own header"),
    ],
)
async def test_a_client_cannot_choose_an_endpoint_while_the_picker_is_dead(
    servers: list[ModelServer], tmp_path: Path, forged: str
) -> None:
    arguments = listing(servers)
    async with (
        model_servers("stranger") as [stranger],
        separate_picker(Mode.BUFFERED, tmp_path, arguments, failure_mode_allow=True) as (gateway, picker),
    ):
        await picker.kill()
        to_stranger = [await gateway.chat(headers=[(forged, str(stranger.address))]) for _ in range(8)]
        to_first = [await gateway.chat(headers=[(forged, str(servers[0].address))]) for _ in range(8)]
        # Envoy's round robin: each endpoint twice, whatever the client asks for.
        assert Counter(answer.served for answer in to_stranger) == {"a": 2, "b": 2, "c": 2, "d": 2}
        assert Counter(answer.served for answer in to_first) == {"a": 2, "b": 2, "c": 2, "d": 2}
        assert stranger.received == []
        assert [request for server in servers for request in server.received if request.all(forged)] == []


async def test_without_failure_mode_allow_a_killed_picker_means_503(
    mode: Mode, servers: list[ModelServer], tmp_path: Path
) -> None:
    async with separate_picker(mode, tmp_path, listing(servers)) as (gateway, picker):
        async with Load(gateway) as load:
            await load.answered(50)
            await picker.kill()
            await load.answered(20)
        # In full duplex an answer that was passing through the picker is cut.
        cut = {"ClientPayloadError"} if mode is Mode.FULL_DUPLEX else set()
        assert set(load.outcomes) - cut == {200, 503}
        reached = sum(len(server.received) for server in servers)
        answers = [await gateway.send(method, CHAT, body) for method, body in (("POST", chat()), ("GET", None))]
        assert [answer.status for answer in answers] == [503, 503]
        assert sum(len(server.received) for server in servers) == reached

        await picker.start()
        await picks_again(gateway, servers)
        await gateway.still_serves()


@asynccontextmanager
async def slow_model_server() -> AsyncIterator[RunningSimServer]:
    """Its answers of 150 tokens take about a second."""
    server = await start_sim_server(SimServerOptions(port=0))
    try:
        yield server
    finally:
        await server.close()


async def stream(gateway: Gateway, began: asyncio.Event | None = None) -> bytes:
    body = chat(stream=True, max_tokens=150)
    async with gateway.client.post(gateway.url + CHAT, data=body) as response:
        assert response.status == 200
        text = await response.content.readline()
        if began is not None:
            began.set()
        return text + await response.content.read()


async def test_an_answer_under_way_outlives_the_picker_that_does_not_read_it(tmp_path: Path) -> None:
    async with (
        slow_model_server() as server,
        separate_picker(Mode.BUFFERED, tmp_path, ["--endpoint", server.url]) as (gateway, picker),
    ):
        began = asyncio.Event()
        streaming = asyncio.create_task(stream(gateway, began))
        await began.wait()
        await picker.kill()
        assert (await gateway.chat()).status == 503
        text = await streaming
        assert text.endswith(b"data: [DONE]\n\n")
        assert text.count(b'"content":"') == 151


async def test_a_drain_under_load_loses_no_request(mode: Mode, tmp_path: Path) -> None:
    async with slow_model_server() as server:
        arguments = ["--endpoint", server.url, "--drain-timeout", "2s"]
        async with separate_picker(mode, tmp_path, arguments) as (gateway, picker):
            began = asyncio.Event()
            before = [asyncio.create_task(stream(gateway, began)) for _ in range(5)]
            await began.wait()
            picker.signal(signal.SIGTERM)
            await not_ready(gateway, picker)
            # The window is there for those who do not know yet.
            during = [asyncio.create_task(stream(gateway)) for _ in range(5)]
            texts = await asyncio.gather(*before, *during)
            assert [text.endswith(b"data: [DONE]\n\n") for text in texts] == [True] * 10
            assert await picker.exit_status() == 0
            assert (await gateway.chat()).status == 503


async def not_ready(gateway: Gateway, picker: PickerProcess) -> None:
    async def drains() -> bool:
        async with gateway.client.get(f"http://127.0.0.1:{picker.metrics_port}/readyz") as response:
            return (response.status, await response.text()) == (503, "draining\n")

    await until(drains, "the picker draining")
