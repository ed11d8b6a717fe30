import asyncio

import pytest

from turnout.epp.simulator.engine import EngineConfig
from turnout.epp.simulator.replay.replica import Replica
from turnout.epp.simulator.replay.virtual_time import run_virtually
from turnout.epp.simulator.tokens import tokenize

PROMPT = tokenize("four" * 1600)


def test_a_prompt_that_was_computed_before_is_found_in_the_cache() -> None:
    async def main() -> tuple[int, int, list[float]]:
        clock = asyncio.get_running_loop().time
        replica = Replica(3, EngineConfig(), seed=0)
        running = asyncio.create_task(replica.run())
        first_tokens: list[float] = []
        started = clock()
        one = await replica.answer("1", PROMPT, 5, lambda: first_tokens.append(clock() - started))
        started = clock()
        two = await replica.answer("2", PROMPT, 5, lambda: first_tokens.append(clock() - started))
        running.cancel()
        assert replica.prefix_cache() == (3200, 1584)
        return one, two, first_tokens

    one, two, (computed, cached) = run_virtually(main())
    assert (one, two) == (0, 1584)  # all but the last block of 16
    assert computed == pytest.approx(0.0345, abs=0.0002)
    assert cached == pytest.approx(0.00636, abs=0.0002)


def test_metrics_are_the_engines_at_that_moment() -> None:
    async def main() -> None:
        replica = Replica(0, EngineConfig(num_blocks=4000), seed=0)
        running = asyncio.create_task(replica.run())
        answer = asyncio.create_task(replica.answer("1", PROMPT, 100, lambda: None))
        await asyncio.sleep(0.1)
        metrics = replica.metrics(now=5.0)
        assert (metrics.running_requests, metrics.waiting_queue_size) == (1, 0)
        assert (metrics.cache_block_size, metrics.cache_num_blocks) == (16, 4000)
        assert metrics.kv_cache_utilization == pytest.approx(101 / 4000, abs=0.002)
        assert metrics.age("waiting_queue_size", 7.0) == 2.0
        await answer
        running.cancel()
        assert replica.metrics(now=6.0).running_requests == 0

    run_virtually(main())


def test_replicas_differ_in_name_and_address() -> None:
    replicas = [Replica(number, EngineConfig(), seed=0) for number in (0, 255, 256)]
    assert [replica.destination for replica in replicas] == ["10.0.0.0:8000", "10.0.0.255:8000", "10.0.1.0:8000"]
    assert replicas[2].spec.name == "replay/replica-256"
