import asyncio
from array import array
from collections.abc import Sequence

import pytest

from turnout.epp.simulator.blocks import CacheEvent
from turnout.epp.simulator.driver import EngineDriver, EngineStoppedError
from turnout.epp.simulator.engine import Engine, EngineConfig
from turnout.epp.simulator.sequence import GenerationRequest


def ignore(_: Sequence[CacheEvent]) -> None:
    pass


def request(request_id: str, length: int) -> GenerationRequest:
    return GenerationRequest(request_id, array("I", range(40)), array("I", range(length)))


async def test_a_waiting_reader_wakes_when_the_tokens_it_wants_are_there() -> None:
    engine = Engine(EngineConfig())
    driver = EngineDriver(engine, 0.001, lambda: 1.0, ignore)
    task = asyncio.create_task(driver.run())
    generation = driver.open(request("r", 10))
    assert await generation.reach(4) >= 4
    assert await generation.reach(10) == 10
    driver.close(generation)
    assert engine.snapshot().finished["length"] == 1
    task.cancel()
    await asyncio.wait([task])


async def test_closing_an_unfinished_generation_cancels_it_in_the_engine() -> None:
    engine = Engine(EngineConfig())
    driver = EngineDriver(engine, 0.001, lambda: 1.0, ignore)
    task = asyncio.create_task(driver.run())
    generation = driver.open(request("r", 10_000))
    await generation.reach(1)
    driver.close(generation)
    assert engine.blocks_in_use == 0
    task.cancel()
    await asyncio.wait([task])


async def test_a_failing_engine_fails_its_generations_and_takes_no_more() -> None:
    def fail(_: Sequence[CacheEvent]) -> None:
        raise ZeroDivisionError

    driver = EngineDriver(Engine(EngineConfig()), 0.001, lambda: 1.0, fail)
    task = asyncio.create_task(driver.run())
    generation = driver.open(request("r", 10))
    with pytest.raises(EngineStoppedError):
        await generation.reach(10)
    with pytest.raises(ZeroDivisionError):
        await task
    with pytest.raises(EngineStoppedError):
        driver.open(request("s", 1))
