from pathlib import Path

import pytest

from epp.simulator.replay.traces import conversations, written
from turnout.epp.simulator.replay.assignments import Pool
from turnout.epp.simulator.replay.cache_only import CachedPrompt, PrefixCache, cached_prompts
from turnout.epp.simulator.replay.ceiling import find_ceiling
from turnout.epp.simulator.replay.trace import TracedRequest, read_trace

POOL = Pool(servers=3, capacity=12_000, seed=0)


@pytest.fixture
def prompts(tmp_path: Path) -> list[CachedPrompt]:
    return cached_prompts(read_trace(written(tmp_path, conversations(count=30, turns=4))), block_size=16)


def test_every_try_is_what_its_assignment_gives(prompts: list[CachedPrompt]) -> None:
    ceiling = find_ceiling(prompts, POOL, changes=50)
    for tried in ceiling.tries:
        sent, found = [0, 0, 0], [0, 0, 0]
        caches = [PrefixCache(POOL.capacity) for _ in range(POOL.servers)]
        for prompt, server in zip(prompts, tried.assignment, strict=True):
            sent[server] += prompt.prompt_tokens
            found[server] += caches[server].serve(prompt)
        computed = [one - other for one, other in zip(sent, found, strict=True)]
        assert tried.hit_rate == sum(found) / sum(sent)
        assert tried.busiest == pytest.approx(max(computed) / (sum(computed) / 3))
    assert ceiling.best.hit_rate == max(tried.hit_rate for tried in ceiling.tries)


def test_changes_make_it_better_and_are_named(prompts: list[CachedPrompt]) -> None:
    before = find_ceiling(prompts, POOL, changes=0)
    after = find_ceiling(prompts, POOL, changes=200)
    assert after.best.name == f"{before.best.name}, 200 changes tried"
    assert after.best.hit_rate > before.best.hit_rate
    assert after.best.foresight


def test_balanced_changes_stay_balanced(prompts: list[CachedPrompt]) -> None:
    before = find_ceiling(prompts, POOL, changes=0).best_balanced
    after = find_ceiling(prompts, POOL, changes=200).best_balanced
    assert before is not None
    assert after is not None
    assert after.name == f"{before.name}, 200 balanced changes tried"
    assert after.hit_rate > before.hit_rate
    assert after.busiest <= 1.25


def test_where_one_server_must_get_everything_nothing_is_balanced() -> None:
    prompts = cached_prompts([TracedRequest(0.0, 512, 1, (1,))], block_size=16)
    ceiling = find_ceiling(prompts, POOL, changes=5)
    assert ceiling.best_balanced is None
    assert ceiling.best.busiest == 3.0


def test_a_cache_without_a_limit_bounds_everything(prompts: list[CachedPrompt]) -> None:
    ceiling = find_ceiling(prompts, POOL, changes=50)
    # 30 chats of 4 turns of 2 to 5 blocks; the first request computes 2 blocks, each other one its last block.
    assert ceiling.infinite == pytest.approx((30 * 14 - 30 * 4 - 1) / (30 * 14))
    assert ceiling.best.hit_rate <= ceiling.infinite
    assert ceiling.best_without_foresight.hit_rate <= ceiling.best.hit_rate
    assert not ceiling.best_without_foresight.foresight


def test_every_try_is_announced(prompts: list[CachedPrompt]) -> None:
    announced: list[None] = []
    ceiling = find_ceiling(prompts, POOL, 10, lambda: announced.append(None))
    assert len(announced) == len(ceiling.tries) - 2 + 2 * 10
