"""Model servers that hang, reset, fail, die and come back, behind a real Envoy."""

import asyncio
import itertools
from collections import Counter
from pathlib import Path

import aiohttp
import pytest

from epp.gateway.fakes import free_port
from integration.gateways import CHAT, Mode, World, chat, http_client, until, world
from integration.load import Load
from integration.model_servers import Behaviour, ModelServer
from turnout.epp.gateway.options import Address

pytestmark = pytest.mark.integration

PATIENCE = aiohttp.ClientTimeout(total=1.0)


async def impatient(running: World, prompt: str) -> str:
    """Who served it; an empty string if nobody did in time."""
    async with http_client() as client:
        try:
            async with client.post(running.gateway.url + CHAT, data=chat(prompt), timeout=PATIENCE) as response:
                assert response.status == 200
                return response.headers["x-served-by"]
        except TimeoutError:
            return ""


async def test_an_endpoint_that_hangs_costs_only_the_requests_that_it_got(
    running: World, servers: list[ModelServer]
) -> None:
    servers[0].behaviour = "hang"
    served = Counter(await asyncio.gather(*(impatient(running, f"prompt {number}") for number in range(24))))
    assert set(served) <= {"", "b", "c", "d"}
    assert served[""] == len(servers[0].received)
    # What hangs is counted as in flight, so the others get the rest.
    assert 1 <= served[""] <= 8
    await running.pages.settled()
    servers[0].behaviour = "answer"
    await running.gateway.still_serves()


@pytest.mark.parametrize(
    ("behaviour", "statuses"),
    [
        pytest.param("error", {200, 500}, id="answers 500"),
        pytest.param("reset", {200, 503}, id="resets the connection"),
    ],
)
async def test_an_endpoint_whose_requests_fail_is_taken_out_and_tried_again(
    running: World, servers: list[ModelServer], behaviour: Behaviour, statuses: set[int]
) -> None:
    broken = servers[0]
    broken.behaviour = behaviour
    got: Counter[int] = Counter()
    while (await running.pages.in_service())[str(broken.address)]:
        assert got.total() < 500
        got[(await running.gateway.chat(f"prompt {got.total()}")).status] += 1
    # The end of the last failure and the page above are two messages: a request or two may come between.
    assert 3 <= len(broken.received) <= 5
    assert set(got) == statuses
    failures = got.total() - got[200]
    assert failures == len(broken.received)

    broken.behaviour = "answer"
    await running.pages.becomes(broken.address, in_service=True)

    prompts = (f"after recovery {number}" for number in itertools.count())

    async def serves_again() -> bool:
        return (await running.gateway.chat(next(prompts))).served == broken.name

    await until(serves_again, "a request at the recovered endpoint")
    await running.pages.settled()


async def test_a_dead_endpoint_costs_a_retry_and_no_error(running: World, servers: list[ModelServer]) -> None:
    await servers[0].stop()
    prompts = [f"prompt {number} {'x' * 100_000}" for number in range(40)]
    answers = [await running.gateway.chat(prompt) for prompt in prompts]
    assert Counter(answer.status for answer in answers) == {200: 40}
    assert {answer.served for answer in answers} == {"b", "c", "d"}
    # A body that was sent a second time is still one body.
    bodies = sorted(request.body for server in servers for request in server.received)
    assert bodies == sorted(chat(prompt) for prompt in prompts)
    assert await running.gateway.retries() >= 1
    await running.pages.becomes(servers[0].address, in_service=False)
    await running.pages.settled()


async def test_with_every_endpoint_down_clients_get_503_until_one_is_back(
    running: World, servers: list[ModelServer]
) -> None:
    for server in servers:
        await server.stop()
    answer = await running.gateway.chat()
    assert answer.status == 503
    await running.pages.settled()
    for server in servers:
        await running.pages.becomes(server.address, in_service=False)
    assert (await running.gateway.chat()).status == 503

    await servers[2].start()

    async def serves_again() -> bool:
        return (await running.gateway.chat()).status == 200

    await until(serves_again, "an answer of the endpoint that is back")
    await running.gateway.still_serves()


async def test_an_endpoint_that_dies_under_load_and_comes_back_costs_what_it_was_serving(
    running: World, servers: list[ModelServer]
) -> None:
    async with Load(running.gateway) as load:
        await load.answered(50)
        await servers[0].stop()
        await running.pages.becomes(servers[0].address, in_service=False)
        await load.answered(50)
        await servers[0].start()
        await running.pages.becomes(servers[0].address, in_service=True)
        await load.answered(50)
    failures = load.outcomes.total() - load.outcomes[200]
    assert set(load.outcomes) <= {200, 503}
    # At most what was under way at that server when it died: one for each worker.
    assert failures <= 8
    await running.pages.settled()


async def test_an_endpoint_in_the_listing_that_was_never_there_costs_no_error(
    mode: Mode, servers: list[ModelServer], tmp_path: Path
) -> None:
    nowhere = Address("127.0.0.1", free_port())
    async with world(mode, tmp_path, [f"http://{nowhere}", *(server.url for server in servers)]) as running:
        async with Load(running.gateway, workers=4) as load:
            await load.answered(60)
            await running.pages.becomes(nowhere, in_service=False)
        assert set(load.outcomes) == {200}
        await running.pages.settled()
