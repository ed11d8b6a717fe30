import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from aiohttp import web

from plugins.http_servers import Answer, Server, saying, serving
from turnout.framework import CounterReading, GaugeReading
from turnout.plugins.latency import http_predictor
from turnout.plugins.latency.http_predictor import MAX_SAMPLES, SAMPLES_AT_ONCE, HttpPredictor
from turnout.plugins.latency.predictor_api import Features, Sample, Stated, sample

ROW = Features(0.25, 800, 3, 5, 0.5)
GOOD = b'{"predictions":[{"ttft_ms":100,"tpot_ms":10,"objective_type":"quantile","quantile":0.9}]}'
STATED = [Stated(0.1, 0.01, 0.9)]
LONG, SHORT = timedelta(seconds=30), timedelta(milliseconds=50)


async def hang(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError("it is never set")


async def begin_and_hang(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(GOOD[:20])
    await asyncio.Event().wait()
    return response


async def hang_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def redirect(_: web.Request) -> web.StreamResponse:
    raise web.HTTPFound("/elsewhere")


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with serving(saying(GOOD)) as running:
        yield running


@pytest.fixture
async def other() -> AsyncIterator[Server]:
    async with serving(saying(GOOD)) as running:
        yield running


@pytest.fixture
async def opened() -> AsyncIterator[list[HttpPredictor]]:
    """Predictors to close at the end."""
    predictors: list[HttpPredictor] = []
    yield predictors
    for predictor in predictors:
        task = asyncio.create_task(predictor.run())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])


def predictor_of(
    opened: list[HttpPredictor], *urls: str, trainer: str = "", timeout: timedelta = LONG
) -> HttpPredictor:
    predictor = HttpPredictor(urls, trainer, timeout)
    opened.append(predictor)
    return predictor


def values(predictor: HttpPredictor, name: str) -> dict[str, float]:
    """Readings of this name by their one label, without those that are 0."""
    found: dict[str, float] = {}
    for each in predictor.readings():
        if each.name == name and isinstance(each, CounterReading | GaugeReading) and each.value:
            found["".join(each.labels.values())] = each.value
    return found


def outcomes(predictor: HttpPredictor) -> dict[str, float]:
    return values(predictor, "latency_predictor_requests_total")


async def test_a_server_is_asked_and_answers(server: Server, opened: list[HttpPredictor]) -> None:
    predictor = predictor_of(opened, server.url + "/")
    assert await predictor.predict([ROW], 0.0) == STATED
    ((path, content),) = server.asked
    assert path == "/predict/bulk/strict"
    assert json.loads(content)["requests"][0]["input_token_length"] == 800
    assert server.headers[0]["Content-Type"] == "application/json"
    assert outcomes(predictor) == {"answered": 1}
    assert list(predictor.findings()) == []


async def test_servers_take_turns(server: Server, other: Server, opened: list[HttpPredictor]) -> None:
    predictor = predictor_of(opened, server.url, other.url)
    for _ in range(10):
        assert await predictor.predict([ROW], 0.0) == STATED
    assert (len(server.asked), len(other.asked)) == (5, 5)


@pytest.mark.parametrize(
    ("bad", "timeout", "outcome", "problem"),
    [
        pytest.param(hang, SHORT, "timeout", "it did not answer within 0.05 s", id="hanging"),
        pytest.param(begin_and_hang, SHORT, "timeout", "it did not answer within 0.05 s", id="half an answer"),
        pytest.param(hang_up, LONG, "failed", "ServerDisconnectedError", id="hanging up"),
        pytest.param(redirect, LONG, "failed", "it answered 302", id="pointing elsewhere"),
        pytest.param(saying(b"{}", 503), LONG, "failed", "it answered 503", id="not ready"),
        pytest.param(saying(GOOD.replace(b"100", b"NaN")), LONG, "malformed", "its answer is none", id="NaN"),
        pytest.param(saying(GOOD.replace(b"100", b"-1")), LONG, "malformed", "ttft_ms -1.0", id="negative"),
        pytest.param(saying(b'{"predictions":[]}'), LONG, "malformed", "0 times for 1 endpoints", id="too few"),
        pytest.param(saying(b" " * 10_000_000), LONG, "malformed", "longer than 5120 bytes", id="10 MB"),
    ],
)
async def test_a_server_that_gives_no_answer_costs_its_answer_and_then_is_left_alone(
    server: Server, opened: list[HttpPredictor], bad: Answer, timeout: timedelta, outcome: str, problem: str
) -> None:
    server.answer = bad
    predictor = predictor_of(opened, server.url, timeout=timeout)
    for now in (0.0, 1.0, 2.0):
        assert await predictor.predict([ROW], now) is None
    assert outcomes(predictor) == {outcome: 3}
    asked = len(server.asked)
    assert await predictor.predict([ROW], 3.0) is None
    assert len(server.asked) == asked
    assert outcomes(predictor) == {outcome: 3, "skipped": 1}
    (finding,) = predictor.findings()
    assert finding.cause == "prediction-server-fails"
    assert problem in finding.message
    assert values(predictor, "latency_predictor_failing_servers") == {"": 1}


async def test_a_server_that_refuses_connections_costs_no_answer_while_there_is_another(
    server: Server, opened: list[HttpPredictor], unused_tcp_port: int
) -> None:
    predictor = predictor_of(opened, f"http://user:secret@127.0.0.1:{unused_tcp_port}", server.url)
    for number in range(10):
        assert await predictor.predict([ROW], float(number) / 10) == STATED
    assert outcomes(predictor) == {"answered": 10}
    (finding,) = predictor.findings()
    assert f"no predictions from http://127.0.0.1:{unused_tcp_port}" in finding.message
    assert "secret" not in finding.message


async def test_a_server_that_recovers_is_asked_again(server: Server, opened: list[HttpPredictor]) -> None:
    server.answer = saying(b"", 500)
    predictor = predictor_of(opened, server.url)
    for _ in range(3):
        assert await predictor.predict([ROW], 0.0) is None
    server.answer = saying(GOOD)
    assert await predictor.predict([ROW], 4.9) is None
    assert await predictor.predict([ROW], 5.1) == STATED
    assert list(predictor.findings()) == []


async def test_what_is_asked_at_once_is_bounded(
    server: Server, opened: list[HttpPredictor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_predictor, "MAX_ASKED_AT_ONCE", 2)
    arrived = asyncio.Semaphore(0)

    async def hold(request: web.Request) -> web.StreamResponse:
        arrived.release()
        return await hang(request)

    server.answer = hold
    predictor = predictor_of(opened, server.url)
    waiting = [asyncio.create_task(predictor.predict([ROW], 0.0)) for _ in range(2)]
    for _ in waiting:
        await arrived.acquire()
    assert await predictor.predict([ROW], 0.0) is None
    assert outcomes(predictor) == {"skipped": 1}
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    server.answer = saying(GOOD)
    assert await predictor.predict([ROW], 0.0) == STATED


async def test_no_endpoints_and_more_than_a_server_takes_are_not_asked_about(
    server: Server, opened: list[HttpPredictor]
) -> None:
    predictor = predictor_of(opened, server.url)
    assert await predictor.predict([], 0.0) is None
    assert await predictor.predict([ROW] * 10_001, 0.0) is None
    assert server.asked == []


# --- samples ---------------------------------------------------------------------------------------------


def numbered(number: int) -> Sample:
    return sample(Features(0.0, number, 0, 0, 0.0), ttft_seconds=0.1)


def told(server: Server) -> list[list[int]]:
    """The numbers of the samples of each call."""
    return [[entry["input_token_length"] for entry in json.loads(body)["entries"]] for _, body in server.asked]


async def test_samples_are_told_in_batches(server: Server, opened: list[HttpPredictor]) -> None:
    server.answer = saying(b'{"message":"accepted"}', 202)
    predictor = predictor_of(opened, trainer=server.url)
    for number in range(SAMPLES_AT_ONCE + 1):
        predictor.learn(numbered(number))
    await predictor.tell()
    assert told(server) == [list(range(SAMPLES_AT_ONCE)), [SAMPLES_AT_ONCE]]
    assert {path for path, _ in server.asked} == {"/add_training_data_bulk"}
    assert values(predictor, "latency_predictor_samples_total") == {"sent": SAMPLES_AT_ONCE + 1}


async def test_samples_that_cannot_be_told_wait_and_the_oldest_are_lost(
    server: Server, opened: list[HttpPredictor]
) -> None:
    server.answer = saying(b"", 503)
    predictor = predictor_of(opened, trainer=server.url)
    for number in range(MAX_SAMPLES + 5):
        predictor.learn(numbered(number))
    await predictor.tell()
    assert len(server.asked) == 1
    assert values(predictor, "latency_predictor_samples_total") == {"lost": 5}
    assert values(predictor, "latency_predictor_samples_waiting") == {"": MAX_SAMPLES}
    (finding,) = predictor.findings()
    assert (finding.cause, "it answered 503" in finding.message) == ("training-server-fails", True)
    server.asked.clear()
    server.answer = saying(b"{}", 202)
    await predictor.tell()
    assert [number for batch in told(server) for number in batch] == list(range(5, MAX_SAMPLES + 5))
    assert list(predictor.findings()) == []


async def test_samples_that_the_server_refuses_are_lost(server: Server, opened: list[HttpPredictor]) -> None:
    server.answer = saying(b'{"detail":"no"}', 422)
    predictor = predictor_of(opened, trainer=server.url)
    predictor.learn(numbered(1))
    await predictor.tell()
    assert values(predictor, "latency_predictor_samples_total") == {"lost": 1}
    assert values(predictor, "latency_predictor_samples_waiting") == {}


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        pytest.param(hang, "it did not answer within", id="hanging"),
        pytest.param(hang_up, "ServerDisconnectedError", id="hanging up"),
        pytest.param(saying(b" " * 10_000_000, 202), "longer than 4096 bytes", id="10 MB"),
    ],
)
async def test_a_training_server_that_misbehaves_costs_no_samples(
    server: Server, opened: list[HttpPredictor], monkeypatch: pytest.MonkeyPatch, bad: Answer, problem: str
) -> None:
    monkeypatch.setattr(http_predictor, "TELL_TIMEOUT_SECONDS", 0.05 if bad is hang else 30.0)
    server.answer = bad
    predictor = predictor_of(opened, trainer=server.url)
    predictor.learn(numbered(1))
    await predictor.tell()
    assert values(predictor, "latency_predictor_samples_waiting") == {"": 1}
    (finding,) = predictor.findings()
    assert problem in finding.message


async def test_without_a_training_server_nothing_is_kept(server: Server, opened: list[HttpPredictor]) -> None:
    predictor = predictor_of(opened, server.url)
    predictor.learn(numbered(1))
    assert values(predictor, "latency_predictor_samples_waiting") == {}


async def test_as_long_as_it_runs_it_tells_and_at_the_end_it_is_closed(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_predictor, "TELL_EVERY_SECONDS", 0.0)
    arrived = asyncio.Event()

    async def accept(_: web.Request) -> web.StreamResponse:
        arrived.set()
        return web.Response(status=202)

    server.answer = accept
    predictor = HttpPredictor([server.url], server.url, LONG)
    predictor.learn(numbered(1))
    task = asyncio.create_task(predictor.run())
    await arrived.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert await predictor.predict([ROW], 0.0) is None
    assert [path for path, _ in server.asked] == ["/add_training_data_bulk"]
