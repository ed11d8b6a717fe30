"""What `precise-prefix-cache-producer` expects in the caches of two real vLLM, beside what these report."""

import asyncio
import json
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import openai
import pytest
import pytest_asyncio

from engines.check_gateway import free_ports
from engines.load import openai_client
from engines.polling import until
from engines.traffic import Answer, Ask, Traffic, text
from engines.vllm_server import MODEL, NUM_BLOCKS, ROOT, VllmPorts, VllmServer, vllm_server
from turnout.epp.demo.servers import Child

pytestmark = pytest.mark.asyncio(loop_scope="session")

PROFILE = ROOT / "config" / "profiles" / "precise-prefix.yaml"
PRODUCER = "precise-prefix-cache-producer"
# One block of a server is never used.
MOST_BLOCKS = NUM_BLOCKS - 1

Figures = Mapping[str, Any]


class Replica:
    """A server that can be killed, and another started in its place: on the same ports, with an empty cache."""

    def __init__(self, new_folder: Callable[[], Path]) -> None:
        self._new_folder = new_folder
        self._ports = VllmPorts.free()
        self._running = AsyncExitStack()
        self._server: VllmServer | None = None

    @property
    def server(self) -> VllmServer:
        assert self._server is not None
        return self._server

    async def start(self) -> None:
        self._server = await self._running.enter_async_context(vllm_server(self._new_folder(), self._ports))

    async def kill(self) -> None:
        os.killpg(self.server.process_group, signal.SIGKILL)
        await self.stop()

    async def stop(self) -> None:
        await self._running.aclose()


class Totals(NamedTuple):
    """Sums over requests; the last four are of those whose server told its cached tokens."""

    requests: int = 0
    compared_requests: int = 0
    agreeing_requests: int = 0
    predicted_cached_tokens: int = 0
    reported_cached_tokens: int = 0

    def since(self, earlier: "Totals") -> "Totals":
        return Totals(*(now - before for now, before in zip(self, earlier, strict=True)))


@dataclass(frozen=True)
class Picker:
    """`turnout up` with the precise profile, and clients of both of its sides."""

    admin_url: str
    client: openai.AsyncOpenAI
    http: aiohttp.ClientSession

    async def diagnosis(self) -> Mapping[str, Any]:
        """What the producer says: findings, and figures by endpoint."""
        async with self.http.get(f"{self.admin_url}/diagnosis") as response:
            return dict((await response.json())["plugins"][PRODUCER])

    async def figures(self, server: VllmServer) -> Figures:
        return dict((await self.diagnosis())["endpoints"][f"default/{server.host}:{server.port}"])

    async def totals(self) -> Totals:
        endpoints = (await self.diagnosis())["endpoints"].values()
        return Totals(*(sum(figures[f"total_{name}"] for figures in endpoints) for name in Totals._fields))

    async def compared(self, requests: int) -> Totals:
        """The totals when so many requests have been compared, a moment after the last client has its answer."""
        return await until(self.totals, lambda totals: totals.compared_requests >= requests)

    async def ask(self, ask: Ask, **fields: object) -> Answer:
        return await ask.send(self.client, **fields)

    async def judged(self, ask: Ask, **fields: object) -> tuple[int, int | None]:
        """Sends one request while no other is on its way; the cached tokens that were expected and reported."""
        before = await self.totals()
        answer = await self.ask(ask, **fields)
        judged = (await self.compared(before.compared_requests + 1)).since(before)
        assert judged.reported_cached_tokens == answer.cached_tokens
        return judged.predicted_cached_tokens, answer.cached_tokens


@asynccontextmanager
async def picker(*servers: VllmServer, ports: Callable[[VllmServer], VllmPorts] | None = None) -> AsyncIterator[Picker]:
    """A picker in front of these servers; `ports` says where it shall look for the events of one."""
    arguments = ["up", "--config-file", str(PROFILE), "--read-responses", "--json", "--metrics-port", "0"]
    gateway, envoy_admin = free_ports(2)
    arguments += ["--port", str(gateway), "--envoy-admin-port", str(envoy_admin)]
    for server in servers:
        found = ports(server) if ports else server.ports
        labels = f"turnout/kv-events-port={found.kv_events},turnout/kv-replay-port={found.kv_replay}"
        arguments += ["--endpoint", f"{server.url},{labels}"]
    async with (
        Child(*arguments) as child,
        openai_client(str(child.announced["url"])) as client,
        aiohttp.ClientSession() as http,
    ):
        yield Picker(str(child.announced["admin_url"]), client, http)


async def are_followed(one: Picker, servers: Sequence[VllmServer]) -> None:
    """Until the events of all servers are current."""
    for server in servers:
        await until(partial(one.figures, server), lambda shown: shown["stream"] == "live")


async def forget_everything(servers: Sequence[VllmServer]) -> None:
    """Empties the caches. vLLM tells so with its next step, so each takes a prompt shorter than a block."""
    async with aiohttp.ClientSession() as http:
        for server in servers:
            async with http.post(f"{server.url}/reset_prefix_cache") as response:
                assert response.status == 200
            async with openai_client(server.url) as client:
                await Ask(MODEL, "x", max_tokens=2).send(client)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def replica(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Replica]:
    """The second server; the first is that of the session."""
    second = Replica(lambda: tmp_path_factory.mktemp("second-vllm"))
    await second.start()
    yield second
    await second.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def servers(vllm: VllmServer, replica: Replica) -> Sequence[VllmServer]:
    """Both, with empty caches."""
    both = (vllm, replica.server)
    await forget_everything(both)
    return both


@pytest_asyncio.fixture(loop_scope="session")
async def both(servers: Sequence[VllmServer]) -> AsyncIterator[Picker]:
    """A picker in front of both servers, whose events it follows."""
    async with picker(*servers) as opened:
        await are_followed(opened, servers)
        yield opened


async def send_all(one: Picker, traffic: Traffic, requests: int, at_once: int) -> list[Answer]:
    """Sends so many requests, never more than `at_once` at a time."""
    places = asyncio.Semaphore(at_once)

    async def send() -> Answer:
        async with places:
            ask = traffic.ask()
            answer = await one.ask(ask)
            traffic.answered(ask, answer)
            return answer

    return list(await asyncio.gather(*(send() for _ in range(requests))))


def cached(answers: Sequence[Answer]) -> int:
    """Tokens that the servers had, each of which must have told."""
    told = [answer.cached_tokens for answer in answers]
    assert None not in told
    return sum(tokens or 0 for tokens in told)


def show(what: str, totals: Totals) -> None:
    """For the reader of `make test-engines ARGS=-s`."""
    sys.stdout.write(f"\n{what}: {totals}\n")


async def test_the_predicted_cached_tokens_are_those_that_vllm_reports(
    both: Picker, servers: Sequence[VllmServer]
) -> None:
    traffic = Traffic(seed=1)
    for ask in traffic.one_of_each():
        traffic.answered(ask, await both.ask(ask))
    warm = await both.compared(len(traffic.families))
    answers = await send_all(both, traffic, 120, at_once=1)
    one_by_one = (await both.compared(warm.compared_requests + 120)).since(warm)
    show("one by one", one_by_one)
    answers += await send_all(both, traffic, 180, at_once=8)
    measured = (await both.compared(warm.compared_requests + 300)).since(warm)
    show("with eight at a time", measured)
    assert (one_by_one.requests, measured.requests, measured.compared_requests) == (120, 300, 300)
    assert measured.reported_cached_tokens == cached(answers)
    assert one_by_one.agreeing_requests >= 119
    assert measured.agreeing_requests >= 297
    prompts = sum(answer.prompt_tokens for answer in answers)
    assert 0.5 * prompts < measured.predicted_cached_tokens < prompts
    for server in servers:
        shown = await both.figures(server)
        assert shown["total_requests"] >= 50
        # About twice as many were stored by both servers together.
        assert 150 <= shown["blocks"] <= MOST_BLOCKS
        assert (shown["history"], shown["skipped"], shown["undecodable"]) == ("complete", 0, 0)
    assert (await both.diagnosis())["findings"] == []


async def test_where_blocks_are_evicted_between_decision_and_lookup_most_predictions_hold(both: Picker) -> None:
    # 24,000 tokens of shared beginnings for 16,320 tokens of cache, and more requests than the servers take at once.
    numbers = random.Random(2)
    beginnings = [text(numbers, 1_000) for _ in range(24)]
    asks = [Ask(MODEL, numbers.choice(beginnings) + text(numbers, numbers.randint(0, 300))) for _ in range(120)]
    places = asyncio.Semaphore(24)

    async def send(ask: Ask) -> Answer:
        async with places:
            return await both.ask(ask)

    answers = await asyncio.gather(*(send(ask) for ask in asks))
    measured = await both.compared(120)
    show("more than the caches hold, 24 at a time", measured)
    assert (measured.requests, measured.compared_requests) == (120, 120)
    assert measured.reported_cached_tokens == cached(answers)
    assert measured.reported_cached_tokens >= 20_000
    assert measured.agreeing_requests >= 72


async def test_a_killed_and_restarted_server_leaves_no_ghost(
    both: Picker, servers: Sequence[VllmServer], replica: Replica
) -> None:
    numbers = random.Random(3)
    old: list[Ask] = []
    while len(old) < 10:
        ask = Ask(MODEL, text(numbers, 200))
        before = (await both.figures(replica.server))["total_requests"]
        assert await both.judged(ask) == (0, 0)
        old += [ask] * ((await both.figures(replica.server))["total_requests"] - before)
    assert await both.judged(old[0]) == (192, 192)
    assert (await both.figures(replica.server))["blocks"] >= 60

    await replica.kill()
    await until(partial(both.figures, replica.server), lambda shown: shown["stream"] == "lost")
    assert (await both.figures(replica.server))["blocks"] == 0
    await replica.start()
    for ask in old:
        assert await both.judged(ask) == (0, 0)
    shown = await both.figures(replica.server)
    show("the restarted server", Totals(*(shown[f"total_{name}"] for name in Totals._fields)))
    await are_followed(both, servers)
    assert {"engine-restarted"} == {found["cause"] for found in (await both.diagnosis())["findings"]}

    traffic = Traffic(seed=4)
    before = await both.totals()
    answers = await send_all(both, traffic, 100, at_once=4)
    measured = (await both.compared(before.compared_requests + 100)).since(before)
    show("after the restart", measured)
    assert measured.requests == 100
    assert measured.agreeing_requests >= 99
    assert measured.predicted_cached_tokens >= 0.2 * sum(answer.prompt_tokens for answer in answers)


async def test_a_cleared_cache_leaves_no_ghost(both: Picker, servers: Sequence[VllmServer]) -> None:
    numbers = random.Random(5)
    old = [Ask(MODEL, text(numbers, 200)) for _ in range(10)]
    for ask in old:
        assert await both.judged(ask) == (0, 0)
    assert await both.judged(old[0]) == (192, 192)
    await forget_everything(servers)
    for server in servers:
        await until(partial(both.figures, server), lambda shown: shown["blocks"] == 0)
    for ask in old:
        assert await both.judged(ask) == (0, 0)


async def test_blocks_that_vllm_announces_again_for_requests_that_ask_for_it_leave_no_ghost(
    replica: Replica, servers: Sequence[VllmServer]
) -> None:
    numbers = random.Random(6)
    ask = Ask(MODEL, text(numbers, 200))
    async with picker(replica.server) as one:
        await are_followed(one, [replica.server])
        assert await one.judged(ask) == (0, 0)
        batches = (await one.figures(replica.server))["events"]
        for _ in range(5):
            assert await one.judged(ask, vllm_xargs={"kv_cache_report_mode": "full"}) == (192, 192)
        # No further block is full, so these are the announcements.
        await until(partial(one.figures, replica.server), lambda shown: shown["events"] == batches + 5)
        for _ in range(6):
            assert await one.judged(Ask(MODEL, text(numbers, 1_500))) == (0, 0)
        assert (await one.figures(replica.server))["blocks"] <= MOST_BLOCKS
        assert await one.judged(ask) == (0, 0)


async def test_a_server_whose_events_cannot_be_had_is_matched_by_what_was_sent_and_the_doctor_says_why(
    replica: Replica, servers: Sequence[VllmServer]
) -> None:
    nobody = VllmPorts.free()
    async with picker(replica.server, ports=lambda server: nobody) as one:
        traffic = Traffic(seed=7)
        answers = await send_all(one, traffic, 100, at_once=1)
        measured = await one.compared(100)
        show("without events", measured)
        assert measured.reported_cached_tokens == cached(answers)
        # Within a block of the guess.
        assert measured.agreeing_requests >= 80
        long = Ask(MODEL, text(random.Random(8), 1_000))
        assert await one.judged(long) == (0, 0)
        predicted, reported = await one.judged(long)
        assert (700 <= predicted <= 1_000, reported) == (True, 992)
        shown = await one.figures(replica.server)
        assert shown["stream"] in {"connecting", "lost"}
        assert (shown["blocks"], shown["events"]) == (0, 0)
        status, told = await doctor(one.admin_url)
    findings = told["producers"][0]["findings"]
    assert status == 1
    assert [(found["endpoint"], found["cause"]) for found in findings] == [
        (f"default/{replica.server.host}:{replica.server.port}", "no-event-stream")
    ]
    assert f"tcp://127.0.0.1:{nobody.kv_events}" in findings[0]["message"]


async def doctor(admin_url: str) -> tuple[int | None, Mapping[str, Any]]:
    """The exit status of `turnout kv-doctor --json` and what it says."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "turnout.epp", "kv-doctor", "--admin-url", admin_url, "--json"),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    return process.returncode, json.loads(output)
