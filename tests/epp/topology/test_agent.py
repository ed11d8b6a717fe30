import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest

from epp.topology.gpus import gpu, link, machine
from turnout.epp.admin.server import start_admin
from turnout.epp.topology.agent import MAX_WAITING, SharedReading, agent_app
from turnout.epp.topology.reading import NoGpuError
from turnout.plugins.topology.document import parse
from turnout.plugins.topology.machine import Machine

PAIR = machine(gpu(0, link(0, 1)), gpu(1, link(0, 0)))
SMALLER = machine(gpu(0), gpu(1, lost=True))


class Driver:
    """Says ``now``; may be made to hang, and counts how often it was asked. ``time`` is the agent's clock."""

    def __init__(self) -> None:
        self.now: Machine | None = PAIR
        self.asked = 0
        self.time = 0.0
        self.free = threading.Event()
        self.free.set()

    def read(self) -> Machine:
        self.asked += 1
        self.free.wait()
        if self.now is None:
            raise NoGpuError("the driver is gone")
        return self.now

    def reading(self) -> SharedReading:
        return SharedReading(self.read, lambda: self.time)


@asynccontextmanager
async def served(reading: SharedReading, seconds: float = 60) -> AsyncIterator[Callable[..., "asyncio.Future[Answer]"]]:
    running = await start_admin(agent_app(reading, seconds), "127.0.0.1", 0)
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{running.port}") as client:

            def ask(path: str, method: str = "GET") -> "asyncio.Future[Answer]":
                return asyncio.ensure_future(_ask(client, path, method))

            yield ask
    finally:
        await running.close()


class Answer:
    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self.body = body


async def _ask(client: aiohttp.ClientSession, path: str, method: str) -> Answer:
    async with client.request(method, path) as response:
        return Answer(response.status, await response.read())


async def test_the_document_the_labels_and_the_health_are_served() -> None:
    async with served(Driver().reading()) as ask:
        topology, labels, health = await ask("/topology"), await ask("/labels"), await ask("/healthz")
    assert (topology.status, parse(topology.body)) == (200, PAIR)
    assert (labels.status, b'"gpu-topology": "nvlink"' in labels.body) == (200, True)
    assert (health.status, health.body) == (200, b"ok\n")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_nothing_can_be_changed(method: str) -> None:
    driver = Driver()
    async with served(driver.reading()) as ask:
        assert (await ask("/topology", method)).status == 405
    assert driver.asked == 0


async def test_many_who_ask_at_once_get_one_reading() -> None:
    driver = Driver()
    driver.free.clear()
    async with served(driver.reading()) as ask:
        asked = [ask("/topology") for _ in range(10)]
        await asyncio.sleep(0)
        driver.free.set()
        assert {(await one).status for one in asked} == {200}
    assert driver.asked == 1


async def test_a_reading_is_used_again_until_it_is_two_seconds_old() -> None:
    driver = Driver()
    reading = driver.reading()
    await reading.get()
    driver.now = SMALLER
    driver.time = 2.0
    assert await reading.get() is PAIR
    driver.time = 2.1
    assert await reading.get() is SMALLER


async def test_a_driver_that_hangs_is_asked_once_and_told_until_it_answers() -> None:
    driver = Driver()
    driver.free.clear()
    async with served(driver.reading(), seconds=0.01) as ask:
        for _ in range(3):
            answer = await ask("/topology")
            assert answer.status == 503
            assert b"has not answered for 0.01 seconds" in answer.body
        assert (await ask("/healthz")).status == 200
        assert driver.asked == 1
        driver.free.set()


async def test_a_driver_that_went_away_is_told_and_nothing_old_is_served() -> None:
    driver = Driver()
    async with served(driver.reading()) as ask:
        assert (await ask("/topology")).status == 200
        driver.now, driver.time = None, 10.0
        answer = await ask("/labels")
        assert (answer.status, b"the driver is gone" in answer.body) == (503, True)
        driver.now = SMALLER
        assert parse((await ask("/topology")).body) == SMALLER


async def test_those_who_wait_are_bounded() -> None:
    driver = Driver()
    driver.free.clear()
    reading = driver.reading()
    waiting = [asyncio.ensure_future(reading.get()) for _ in range(MAX_WAITING)]
    await asyncio.sleep(0)
    async with served(reading) as ask:
        answer = await ask("/topology")
    assert (answer.status, b"32 requests wait for the NVIDIA driver already" in answer.body) == (503, True)
    driver.free.set()
    assert {id(one) for one in await asyncio.gather(*waiting)} == {id(PAIR)}
