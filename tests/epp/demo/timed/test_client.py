import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from turnout.epp.demo.gateways import MODEL
from turnout.epp.demo.overload.workload import LEVEL_HEADER, Arrival
from turnout.epp.demo.timed.client import send_all
from turnout.epp.simulator.options import SimServerOptions
from turnout.epp.simulator.server import start_sim_server
from turnout.epp.wire_names import DROPPED_REASON, FAIRNESS_ID

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

ROLE = b'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n'
TOKEN = b'data: {"choices":[{"delta":{"content":"word"}}]}\n\n'
DONE = b"data: [DONE]\n\n"


def arrival(number: int = 0, at: float = 0.0) -> Arrival:
    return Arrival(number, at, "low", "acme", 20, 3)


@asynccontextmanager
async def answered_by(handler: Handler) -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_post("/v1/chat/completions", handler)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def streamed(request: web.Request, *pieces: bytes) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    for piece in pieces:
        await response.write(piece)
    return response


async def test_every_request_goes_out_with_its_level_and_tenant_and_is_heard_of_once() -> None:
    server = await start_sim_server(SimServerOptions(model=MODEL, port=0, time_scale=0.01))
    heard: list[None] = []
    try:
        requests = [arrival(number, number * 0.001) for number in range(20)]
        seen = await send_all(server.url, requests, 1, lambda: heard.append(None))
    finally:
        await server.close()
    assert Counter(answer.outcome for answer in seen.answers) == {"served": 20}
    assert sorted(answer.request.number for answer in seen.answers) == list(range(20))
    assert len(heard) == len(seen.late) == 20
    assert all(0.0 < answer.decided < answer.ended for answer in seen.answers)


async def test_what_the_gateway_is_told() -> None:
    headers: list[str] = []
    bodies: list[dict[str, object]] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        headers.extend(request.headers[name] for name in (LEVEL_HEADER, FAIRNESS_ID[0]))
        bodies.append(await request.json())
        return await streamed(request, ROLE + TOKEN, DONE)

    async with answered_by(answer) as url:
        await send_all(url, [arrival()], 1, lambda: None)
    assert headers == ["low", "acme"]
    assert (bodies[0]["model"], bodies[0]["max_tokens"], bodies[0]["stream"]) == (MODEL, 3, True)


async def test_the_first_token_counts_and_not_the_first_byte() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(ROLE)
        await asyncio.sleep(0.05)
        await response.write(TOKEN)
        await asyncio.sleep(0.05)
        await response.write(DONE)
        return response

    async with answered_by(answer) as url:
        (answered,) = (await send_all(url, [arrival()], 1, lambda: None)).answers
    assert answered.decided >= 0.05
    assert answered.ended >= answered.decided
    assert answered.outcome == "served"


async def refuse(_: web.Request) -> web.StreamResponse:
    return web.Response(status=429, headers={DROPPED_REASON: "rejected-saturated"})


async def break_down(_: web.Request) -> web.StreamResponse:
    return web.Response(status=503, text="no healthy upstream")


async def stop_in_the_middle(request: web.Request) -> web.StreamResponse:
    return await streamed(request, ROLE, TOKEN)


async def say_nothing(request: web.Request) -> web.StreamResponse:
    return await streamed(request, ROLE, DONE)


async def hang_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


@pytest.mark.parametrize(
    ("handler", "outcome", "reason"),
    [
        pytest.param(refuse, "refused", "rejected-saturated", id="a refusal names its reason"),
        pytest.param(break_down, "failed", "HTTP 503", id="an error without a reason is a failure"),
        pytest.param(stop_in_the_middle, "failed", "incomplete answer", id="an answer without its end is a failure"),
        pytest.param(say_nothing, "failed", "incomplete answer", id="an answer without a token is a failure"),
        pytest.param(hang_up, "failed", "ServerDisconnectedError", id="a lost connection is a failure"),
    ],
)
async def test_every_request_has_an_outcome(handler: Handler, outcome: str, reason: str) -> None:
    async with answered_by(handler) as url:
        (answered,) = (await send_all(url, [arrival()], 1, lambda: None)).answers
    assert (answered.outcome, answered.reason) == (outcome, reason)
    assert answered.ended >= answered.decided >= 0.0


async def test_a_request_is_timed_from_when_it_was_due_however_late_it_was_sent() -> None:
    async with answered_by(refuse) as url:
        seen = await send_all(url, [arrival(at=-0.5)], 1, lambda: None)
    assert seen.late[0] >= 0.5
    assert seen.answers[0].decided >= 0.5
