from math import inf

import pytest

from turnout.epp.simulator.replay.cache_only import PrefixCache, cached_prompts, play
from turnout.epp.simulator.replay.trace import TracedRequest


def request(*hash_ids: int, length: int | None = None, output: int = 1) -> TracedRequest:
    return TracedRequest(0.0, len(hash_ids) * 512 if length is None else length, output, hash_ids)


@pytest.mark.parametrize(
    ("requests", "found"),
    [
        pytest.param([request(1, 2), request(1, 3)], 512, id="a shared block"),
        pytest.param([request(1, 2), request(1, 2)], 1008, id="never the last token, so never its block of 16"),
        pytest.param([request(1, 2, length=700), request(1, 2, length=700)], 688, id="whole blocks of 16 only"),
        pytest.param([request(1, 2), request(3, 2)], 0, id="an id after another id is another prefix"),
        pytest.param([request(1, 2, length=600), request(1, 2)], 512, id="a part of a block is not the block"),
    ],
)
def test_a_prompt_finds_its_leading_blocks(requests: list[TracedRequest], found: int) -> None:
    assert play(cached_prompts(requests, block_size=16), inf) == found


def test_tails_go_before_heads_and_older_requests_before_newer() -> None:
    requests = [request(1, 2), request(3), request(4), request(1, 2), request(3)]
    prompts = cached_prompts(requests, block_size=16)
    cache = PrefixCache(3 * 512)
    assert [cache.serve(prompt) for prompt in prompts[:3]] == [0, 0, 0]
    # The tail of the first request made room for the third; taking it in again pushes out the second's.
    assert cache.serve(prompts[3]) == 512
    assert cache.serve(prompts[4]) == 0


def test_answers_take_room() -> None:
    prompts = cached_prompts([request(1, output=600), request(2), request(1)], block_size=16)
    assert play(prompts, 1024) == 496
    prompts = cached_prompts([request(1), request(2, output=600), request(1)], block_size=16)
    assert play(prompts, 1024 + 512) == 0
