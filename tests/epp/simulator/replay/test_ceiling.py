from pathlib import Path

import pytest

from epp.simulator.replay.traces import conversations, written
from turnout.epp.simulator.replay.assignments import Pool
from turnout.epp.simulator.replay.cache_only import cached_prompts, play_assignment
from turnout.epp.simulator.replay.ceiling import find_ceiling
from turnout.epp.simulator.replay.trace import TracedRequest, read_trace

POOL = Pool(servers=3, capacity=12_000, seed=0)


@pytest.fixture
def requests(tmp_path: Path) -> list[TracedRequest]:
    return read_trace(written(tmp_path, conversations(count=30, turns=4)))


def test_the_best_try_is_what_its_assignment_gives(requests: list[TracedRequest]) -> None:
    ceiling = find_ceiling(requests, POOL, block_size=16, changes=50)
    prompts = cached_prompts(requests, 16)
    total = sum(request.input_tokens for request in requests)
    for tried in ceiling.tries:
        assert tried.hit_rate == sum(play_assignment(prompts, tried.assignment, 3, 12_000)) / total
    assert ceiling.best.hit_rate == max(tried.hit_rate for tried in ceiling.tries)


def test_changes_never_make_it_worse_and_are_named(requests: list[TracedRequest]) -> None:
    before = find_ceiling(requests, POOL, block_size=16, changes=0).best
    after = find_ceiling(requests, POOL, block_size=16, changes=200).best
    assert after.name == f"{before.name}, 200 changes tried"
    assert after.hit_rate > before.hit_rate
    assert after.foresight


def test_a_cache_without_a_limit_bounds_everything(requests: list[TracedRequest]) -> None:
    ceiling = find_ceiling(requests, POOL, block_size=16, changes=50)
    # 30 chats of 4 turns of 2 to 5 blocks; the first request computes 2 blocks, each other one its last block.
    assert ceiling.infinite == pytest.approx((30 * 14 - 30 * 4 - 1) / (30 * 14))
    assert ceiling.best.hit_rate <= ceiling.infinite
    assert ceiling.best_without_foresight.hit_rate <= ceiling.best.hit_rate
    assert not ceiling.best_without_foresight.foresight


def test_every_try_is_announced(requests: list[TracedRequest]) -> None:
    announced: list[None] = []
    ceiling = find_ceiling(requests, POOL, 16, 10, lambda: announced.append(None))
    assert len(announced) == len(ceiling.tries) - 1 + 10
