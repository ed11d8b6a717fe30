import math
import random

from turnout.epp.demo.timed.arrivals import prompt_of, sizes, times
from turnout.epp.simulator.blocks import extend_hashes
from turnout.epp.simulator.tokens import tokenize


def about(count: int, expected: float) -> bool:
    """Within six standard deviations of a Poisson or binomial count."""
    return abs(count - expected) < 6 * math.sqrt(expected)


def test_requests_come_at_their_rate_in_order_and_within_the_duration() -> None:
    found = list(times(random.Random(1), 50.0, 100.0))
    assert found == sorted(found)
    assert 0.0 < found[0] < found[-1] < 100.0
    assert about(len(found), 5_000.0)


def test_a_faster_process_is_the_same_one_closer_together() -> None:
    slow, fast = times(random.Random(3), 10.0, 50.0), times(random.Random(3), 20.0, 25.0)
    assert all(abs(one - 2 * other) < 1e-6 for one, other in zip(slow, fast, strict=True))


def test_sizes_stay_within_their_bounds_and_half_of_the_prompts_above_the_median() -> None:
    draw = random.Random(5)
    found = [sizes(draw) for _ in range(5_000)]
    assert all(100 <= prompt <= 6_000 and 60 <= answer <= 180 for prompt, answer in found)
    assert about(sum(prompt > 1_200 for prompt, _ in found), len(found) / 2)


def test_a_prompt_has_its_tokens_and_shares_no_block_with_another() -> None:
    blocks: set[int] = set()
    for number in range(40):
        tokens = tokenize(prompt_of(2, number, 500))
        assert len(tokens) == 500
        names: list[int] = []
        extend_hashes(names, 0, tokens, 16, len(tokens) // 16)
        assert blocks.isdisjoint(names)
        blocks.update(names)
