from collections import Counter, defaultdict
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.plugins.prefix_cache.burst_groups import BurstRequest, BurstRules, assign


def chain(prompt: str) -> list[int]:
    """Hashes of a prompt whose blocks are its letters: equal prefixes have equal hashes."""
    return [int.from_bytes(prompt[: depth + 1].encode()) for depth in range(len(prompt))]


def placed(prompts: Sequence[str], replicas: str, rules: BurstRules = BurstRules()) -> str:  # noqa: B008 - immutable
    """Where each prompt goes, with a dot for those that are left to others. Replicas have names of one letter."""
    requests = [BurstRequest(chain(prompt), tuple(replicas)) for prompt in prompts]
    return "".join(name or "." for name in assign(requests, replicas, rules))


@pytest.mark.parametrize(
    ("prompts", "rules", "expected"),
    [
        pytest.param([], BurstRules(), "", id="nobody"),
        pytest.param(["xy"], BurstRules(), ".", id="alone"),
        pytest.param(["xy", "xz"], BurstRules(), "..", id="different prompts"),
        pytest.param(["xy", "xy", "xy"], BurstRules(), "aaa", id="one prompt"),
        pytest.param(["xy", "zz", "xy", "zz"], BurstRules(), "abab", id="two prompts, interleaved"),
        pytest.param(["xy", "x", "xy"], BurstRules(), "a.a", id="a prompt that only begins like it"),
        pytest.param(["p", "p", "q", "q", "q", "r", "r"], BurstRules(), "bbaaacc", id="the largest group first"),
        pytest.param(
            ["p", "p", "p", "q", "q", "r", "r", "s", "s"], BurstRules(), "aaabbccbb", id="then the least loaded"
        ),
        pytest.param(["p"] * 5, BurstRules(max_per_replica=2), "aabbc", id="two at most on each"),
        pytest.param(["p"] * 5, BurstRules(max_per_replica=1), "abc..", id="more than all may take"),
        pytest.param(["pq", "pr"], BurstRules(min_colocate_blocks=1), "aa", id="a shared block is enough"),
        pytest.param(["pq", "pr"], BurstRules(min_colocate_blocks=2), "..", id="two shared blocks are asked for"),
        pytest.param(["p", "p"], BurstRules(min_colocate_blocks=2), "aa", id="one prompt, shorter than that"),
        pytest.param(
            ["pq", "pr", "ps", "pt", "pu", "pv"], BurstRules(min_colocate_blocks=1), "aaabbb", id="up to the fair share"
        ),
        pytest.param(
            ["pq", "pq", "z", "z", "pr"], BurstRules(min_colocate_blocks=1), "aabba", id="joins the group that shares"
        ),
        pytest.param(
            ["pqqq", "pqqq", "z", "z", "y", "y", "x", "x"], BurstRules(by_blocks=True), "aabbccbb", id="by blocks"
        ),
        pytest.param(
            ["pqqq", "pqqr", "zyyy", "zyyx"],
            BurstRules(min_colocate_blocks=1, by_blocks=True),
            "aabb",
            id="shared blocks",
        ),
        pytest.param(
            ["pqqq", "pqqr", "pqqs", "pqqt"],
            BurstRules(min_colocate_blocks=1, by_blocks=True),
            "aaab",
            id="a block that is there already is no load",
        ),
        pytest.param(
            ["pqqq", "prrr", "z", "z"],
            BurstRules(min_colocate_blocks=1, by_blocks=True),
            "bbaa",
            id="groups before single requests",
        ),
    ],
)
def test_requests_that_share_a_prompt_go_together(prompts: list[str], rules: BurstRules, expected: str) -> None:
    assert placed(prompts, "abc", rules) == expected


def test_each_request_goes_to_a_replica_of_its_own() -> None:
    shared = chain("xy")
    requests = [BurstRequest(shared, names) for names in (("a", "b"), ("b",), ("a", "b"), ("b",))]
    assert assign(requests, "ab", BurstRules()) == ["a", "b", "a", "b"]


def test_equally_loaded_replicas_are_taken_in_the_order_of_preference() -> None:
    requests = [BurstRequest(chain(prompt), ("a", "b", "c")) for prompt in ("p", "p", "q", "q")]
    assert assign(requests, "cb", BurstRules()) == ["c", "c", "b", "b"]


prompts_of_few_letters = st.lists(st.text("xyz", min_size=1, max_size=4), max_size=40)
pools = st.integers(1, 6).map(lambda size: "abcdef"[:size])
rules = st.builds(
    BurstRules,
    max_per_replica=st.sampled_from([-1, 1, 2, 5]),
    min_colocate_blocks=st.integers(0, 3),
    by_blocks=st.booleans(),
)


@given(prompts=prompts_of_few_letters, pool=pools, rules=rules)
def test_every_request_that_shares_is_placed_once_within_the_limits(
    prompts: list[str], pool: str, rules: BurstRules
) -> None:
    where = placed(prompts, pool, rules)
    assert len(where) == len(prompts)
    groups = defaultdict(list)
    for prompt, name in zip(prompts, where, strict=True):
        groups[prompt].append(name)
    for prompt, names in groups.items():
        limit = rules.max_per_replica if rules.max_per_replica > 0 else len(names)
        assert max(Counter(name for name in names if name != ".").values(), default=0) <= limit
        shares = len(names) > 1 or shared_with_others(prompt, prompts, rules.min_colocate_blocks)
        left_over = max(0, len(names) - limit * len(pool)) if shares else 1
        assert names.count(".") == left_over


def shared_with_others(prompt: str, prompts: list[str], blocks: int) -> bool:
    others = [other for other in prompts if other != prompt]
    return blocks > 0 and len(prompt) >= blocks and any(other[:blocks] == prompt[:blocks] for other in others)


@given(prompts=prompts_of_few_letters, pool=pools, limit=st.sampled_from([-1, 1, 2, 5]))
def test_requests_are_balanced_within_one_group(prompts: list[str], pool: str, limit: int) -> None:
    where = placed(prompts, pool, BurstRules(limit))
    loads = [where.count(name) for name in pool]
    sizes = [size if limit < 0 else min(size, limit) for size in Counter(prompts).values()]
    assert max(loads) - min(loads) <= max(sizes, default=0)


@given(prompts=prompts_of_few_letters, pool=pools)
def test_blocks_are_balanced_within_one_prompt(prompts: list[str], pool: str) -> None:
    where = placed(prompts, pool, BurstRules(by_blocks=True))
    loads = [blocks_at(name, prompts, where) for name in pool]
    assert max(loads) - min(loads) <= max(map(len, prompts), default=0)


@given(prompts=prompts_of_few_letters, pool=pools, by_blocks=st.booleans(), colocate=st.integers(1, 3))
def test_families_keep_to_the_fair_share_and_one_group(
    prompts: list[str], pool: str, by_blocks: bool, colocate: int
) -> None:
    where = placed(prompts, pool, BurstRules(min_colocate_blocks=colocate, by_blocks=by_blocks))
    together = {prompt: n for prompt, n in Counter(prompts).items() if where[prompts.index(prompt)] != "."}
    sizes = [len(prompt) if by_blocks else n for prompt, n in together.items()]
    loads = [blocks_at(name, prompts, where) if by_blocks else where.count(name) for name in pool]
    largest = max(sizes, default=0)
    assert max(loads) <= max(sum(sizes) / len(pool), largest) + largest


def blocks_at(name: str, prompts: list[str], where: str) -> int:
    """How many different blocks a replica has to compute."""
    here = [prompt for prompt, place in zip(prompts, where, strict=True) if place == name]
    return len({prompt[:depth] for prompt in here for depth in range(1, len(prompt) + 1)})
