"""Requests that wait, behind a real Envoy: one runs at each model server at a time."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from integration.gateways import EPP, Answer, Mode, World, until, world
from integration.model_servers import ModelServer, model_servers

pytestmark = pytest.mark.integration

KEY = "sk-critical"
CONFIG = """
apiVersion: turnout/v1
kind: EndpointPickerConfig
featureGates: [flowControl]
plugins:
- type: priority-level-classifier
  parameters:
    clients: [{name: frontend, keySha256: SHA256, levels: [critical, high]}]
- type: concurrency-detector
  parameters: {maxConcurrency: 1}
- type: early-refusal-policy
- type: queue-scorer
flowControl:
  saturationDetector: {pluginRef: concurrency-detector}
  defaultRequestTTL: 20s
  priorityBands:
  - {priority: -100, maxRequests: 2}
""".replace("SHA256", hashlib.sha256(KEY.encode()).hexdigest())


@pytest.fixture
async def servers() -> AsyncIterator[list[ModelServer]]:
    async with model_servers("a") as running:
        for server in running:
            server.behaviour = "hold"
        yield running


@pytest.fixture
async def running(mode: Mode, servers: list[ModelServer], tmp_path: Path) -> AsyncIterator[World]:
    options = replace(EPP, config_text=CONFIG, allow_queue_changes=True)
    async with world(mode, tmp_path, [server.url for server in servers], options) as started:
        yield started


class Crowd:
    """Requests by name, each sent when the one before is queued or has reached a server."""

    def __init__(self, running: World, servers: Sequence[ModelServer]) -> None:
        self._running = running
        self._servers = servers
        self.tasks: dict[str, asyncio.Task[Answer]] = {}

    async def send(self, name: str, *headers: tuple[str, str]) -> "asyncio.Task[Answer]":
        before = await self.queued() + self.received
        sent = [("x-request-id", name), *headers]
        task = self.tasks[name] = asyncio.ensure_future(self._running.gateway.chat(name, sent))

        async def arrived() -> bool:
            return task.done() or await self.queued() + self.received > before

        await until(arrived, f"{name} queued or sent")
        return task

    async def queue(self) -> Mapping[str, object]:
        return await self._running.pages.get("/queue")

    async def queued(self) -> int:
        count = (await self.queue())["queued"]
        assert isinstance(count, int)
        return count

    @property
    def received(self) -> int:
        return sum(len(server.received) for server in self._servers)

    def served(self) -> list[str]:
        """Names in the order in which they reached a server."""
        return [json.loads(one.body)["messages"][0]["content"] for server in self._servers for one in server.received]

    async def finish(self) -> None:
        """Lets everything be answered."""
        for server in self._servers:
            server.behaviour = "answer"
            for _ in self.tasks:
                server.permits.release()
        answers = await asyncio.gather(*self.tasks.values(), return_exceptions=True)
        assert not [answer for answer in answers if isinstance(answer, Exception)]
        await self._running.pages.settled()
        assert await self.queued() == 0


def level(name: str, key: str = KEY) -> Sequence[tuple[str, str]]:
    return [("x-priority-level", name), ("authorization", f"Bearer {key}")]


@pytest.fixture
def crowd(running: World, servers: list[ModelServer]) -> Crowd:
    return Crowd(running, servers)


async def test_requests_wait_and_go_by_priority_and_a_forged_one_gains_nothing(crowd: Crowd) -> None:
    await crowd.send("runs")
    await crowd.send("normal")
    await crowd.send("forged", *level("critical", "sk-guessed"))
    await crowd.send("low", *level("low"))
    await crowd.send("high", *level("high"))
    await crowd.send("critical", *level("critical"))
    assert await crowd.queued() == 5
    bands = (await crowd.queue())["bands"]
    assert isinstance(bands, list)
    assert [(band["priority"], band["level"], band["queued"]) for band in bands] == [
        (100, "critical", 1),
        (50, "high", 1),
        (0, "normal", 2),
        (-50, "low", 1),
        (-100, "", 0),
    ]
    await crowd.finish()
    assert crowd.served() == ["runs", "critical", "high", "normal", "forged", "low"]
    assert {task.result().status for task in crowd.tasks.values()} == {200}


async def test_a_client_that_leaves_the_queue_is_forgotten_at_once(crowd: Crowd) -> None:
    await crowd.send("runs")
    leaving = await crowd.send("leaves")
    await crowd.send("stays")
    leaving.cancel()

    async def gone() -> bool:
        return await crowd.queued() == 1

    await until(gone, "the place of the client that left is free")
    await crowd.finish()
    assert crowd.served() == ["runs", "stays"]


async def test_a_client_says_how_long_it_will_wait(crowd: Crowd) -> None:
    await crowd.send("runs")
    answer = await (await crowd.send("hurried", ("x-turnout-queue-timeout-ms", "300")))
    assert answer.status == 429
    assert answer.headers["x-llm-d-request-dropped-reason"] == "rejected-ttl-expired"
    assert str(answer.error["message"]).startswith(
        "inference error: ResourceExhausted - request timed out in queue: waited 0.3"
    )
    refused = await (await crowd.send("confused", ("x-turnout-queue-timeout-ms", "soon")))
    assert refused.status == 400
    await crowd.finish()
    assert crowd.served() == ["runs"]


async def test_a_full_band_refuses_and_says_when_to_come_back(crowd: Crowd) -> None:
    await crowd.send("runs")
    for name in ("first", "second"):
        await crowd.send(name, *level("background"))
    answer = await (await crowd.send("third", *level("background")))
    assert (answer.status, answer.headers["retry-after"]) == (429, "1")
    assert answer.headers["x-llm-d-request-dropped-reason"] == "rejected-saturated"
    assert "maxRequests of priority -100 is 2" in str(answer.error["message"])
    await crowd.finish()
    assert crowd.served() == ["runs", "first", "second"]


async def test_what_will_not_make_it_is_refused_at_once(crowd: Crowd, servers: list[ModelServer]) -> None:
    await crowd.send("runs")
    for number in range(4):
        await crowd.send(f"waits{number}")
    for served in range(2, 5):  # a pace of some requests within a known time
        servers[0].permits.release()

        async def next_one(count: int = served) -> bool:
            return crowd.received == count

        await until(next_one, "the next request reaches the server")
    answer = await (await crowd.send("hopeless", ("x-turnout-queue-timeout-ms", "1")))
    assert answer.status == 429
    assert answer.headers["x-llm-d-request-dropped-reason"] in {"rejected-saturated", "rejected-ttl-expired"}
    await crowd.finish()
    assert "hopeless" not in crowd.served()


async def test_a_queued_request_gets_another_priority(crowd: Crowd, running: World) -> None:
    await crowd.send("runs")
    for name in ("first", "second"):
        await crowd.send(name)
    url = f"http://127.0.0.1:{running.picker.metrics_port}/queue/second?priority=7"
    async with running.gateway.client.put(url) as response:
        assert (response.status, await response.json()) == (200, {"request_id": "second", "priority": 7})
    await crowd.finish()
    assert crowd.served() == ["runs", "second", "first"]


async def test_the_queue_shows_in_the_metrics(crowd: Crowd, running: World) -> None:
    await crowd.send("runs")
    await crowd.send("waits")
    labels = 'fairness_id="default-flow",inference_pool="default",model_name="{0}",priority="0",target_model_name="{0}"'
    series = labels.format("meta-llama/Llama-3.1-8B-Instruct")
    page = await running.pages.metrics()
    assert f"turnout_flow_control_queue_size{{{series}}} 1.0" in page
    assert 'turnout_flow_control_pool_saturation{inference_pool="default",stage="effective"} 1.0' in page
    await crowd.finish()
    page = await running.pages.metrics()
    assert f"turnout_flow_control_queue_size{{{series}}} 0.0" in page
    assert 'turnout_flow_control_requests_total{inference_pool="default",outcome="Dispatched",priority="0"} 2.0' in page


DISCOVERED = """
apiVersion: turnout/v1
kind: EndpointPickerConfig
featureGates: [flowControl]
plugins:
- type: file-discovery
  parameters: {path: PATH, watchFile: true}
- type: concurrency-detector
  parameters: {maxConcurrency: LIMIT}
- type: queue-scorer
dataLayer:
  discovery: {pluginRef: file-discovery}
flowControl:
  saturationDetector: {pluginRef: concurrency-detector}
  noEndpointRequestTTL: 20s
"""


def write(path: Path, content: str) -> None:
    draft = path.with_suffix(".new")
    draft.write_text(content)
    draft.replace(path)


def listing(*servers: ModelServer) -> str:
    entries = [{"name": each.name, "address": "127.0.0.1", "port": str(each.port)} for each in servers]
    return json.dumps({"endpoints": entries})


async def test_requests_wait_through_a_reload_and_an_empty_pool(
    mode: Mode, servers: list[ModelServer], tmp_path: Path
) -> None:
    endpoints, config = tmp_path / "endpoints.json", tmp_path / "config.yaml"
    write(endpoints, listing())
    text = DISCOVERED.replace("PATH", str(endpoints))
    write(config, text.replace("LIMIT", "1"))
    async with world(mode, tmp_path, (), replace(EPP, config_file=config)) as running:
        crowd = Crowd(running, servers)
        for name in ("first", "second", "third"):
            await crowd.send(name)
        assert await crowd.queued() == 3
        write(endpoints, listing(*servers))

        async def one_runs() -> bool:
            return crowd.received == 1 and await crowd.queued() == 2

        await until(one_runs, "one request at the endpoint that came")
        write(config, text.replace("LIMIT", "3"))

        async def all_run() -> bool:
            return crowd.received == 3 and await crowd.queued() == 0

        await until(all_run, "all requests under the new limit")
        await crowd.finish()
        assert crowd.served() == ["first", "second", "third"]
