from pathlib import Path

import pytest

from epp.simulator.replay.traces import conversations, written
from turnout.epp.simulator.replay.assignments import Pool, strategies
from turnout.epp.simulator.replay.cache_only import CachedPrompt, cached_prompts
from turnout.epp.simulator.replay.trace import TracedRequest, read_trace

POOL = Pool(servers=4, capacity=20_000, seed=0)


@pytest.fixture
def prompts(tmp_path: Path) -> list[CachedPrompt]:
    return cached_prompts(read_trace(written(tmp_path, conversations(count=20, turns=3))), block_size=16)


def assigned(prompts: list[CachedPrompt], pool: Pool = POOL) -> dict[str, list[int]]:
    return {strategy.name: strategy.assign() for strategy in strategies(prompts, pool)}


def test_every_strategy_assigns_every_request_to_a_server_and_repeats_itself(prompts: list[CachedPrompt]) -> None:
    first, second = assigned(prompts), assigned(prompts)
    assert first == second
    assert len(first) == 20
    for assignment in first.values():
        assert len(assignment) == 60
        assert set(assignment) <= set(range(4))


@pytest.mark.parametrize(
    "name", ["longest match, ties by fewest tokens sent", "hash of 2 blocks", "clusters packed by size"]
)
def test_conversations_stay_together_although_all_share_a_block(name: str, prompts: list[CachedPrompt]) -> None:
    assignment = assigned(prompts)[name]
    homes: dict[int, set[int]] = {}
    for prompt, server in zip(prompts, assignment, strict=True):
        homes.setdefault(prompt.nodes[1], set()).add(server)
    assert {len(servers) for servers in homes.values()} == {1}
    assert len(set(assignment)) == 4


def test_the_shared_first_block_is_one_server_when_only_it_is_hashed(prompts: list[CachedPrompt]) -> None:
    assert len(set(assigned(prompts)["hash of 1 blocks"])) == 1


def test_clusters_that_never_return_are_kept_apart() -> None:
    once = [TracedRequest(0.0, 1024, 1, (0, 100 + number)) for number in range(6)]
    again = [TracedRequest(0.0, 1024, 1, (0, 7))] * 3
    prompts = cached_prompts([*once, *again], block_size=16)
    assignment = assigned(prompts, Pool(servers=3, capacity=20_000, seed=0))
    aside = assignment["clusters packed by size, what never returns on 1 of the servers"]
    assert aside[:6] == [2] * 6
    assert set(aside[6:]) <= {0, 1}


def test_clusters_that_are_over_make_room_for_others() -> None:
    def chat(number: int, blocks: int) -> TracedRequest:
        return TracedRequest(0.0, (blocks + 1) * 512, 1, (0, *(100 * number + block for block in range(blocks))))

    # The first cluster is the largest, and over when the third one begins.
    prompts = cached_prompts([chat(1, 9), chat(2, 1), chat(1, 9), chat(3, 2), chat(2, 1)], block_size=16)
    assignment = assigned(prompts, Pool(servers=2, capacity=20_000, seed=0))
    assert assignment["clusters packed by time"] == [0, 1, 0, 0, 1]
    assert assignment["clusters packed by size"] == [0, 1, 0, 1, 1]


def test_one_server_gets_everything(prompts: list[CachedPrompt]) -> None:
    for assignment in assigned(prompts, Pool(servers=1, capacity=20_000, seed=0)).values():
        assert assignment == [0] * 60
