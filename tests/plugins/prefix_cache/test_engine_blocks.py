from collections.abc import Sequence
from dataclasses import replace

import pytest

from plugins.prefix_cache.captured import captured_batches
from turnout.plugins.prefix_cache.blocks import chain_root, hash_tokens
from turnout.plugins.prefix_cache.engine_blocks import MAX_RANKS, EngineBlocks, KnownAdapters
from turnout.plugins.prefix_cache.held import HeldBlocks, Match
from turnout.plugins.prefix_cache.kv_events import AllCleared, BlocksRemoved, BlocksStored, EventBatch, KVEvent
from turnout.plugins.prefix_cache.tiers import DEFAULT_BACKENDS, Tiers

TIERS = Tiers(DEFAULT_BACKENDS)


class House:
    """An index, and the blocks of publishers in it."""

    def __init__(self) -> None:
        self.held = HeldBlocks(TIERS.weights, 10_000)
        self.adapters = KnownAdapters()

    def publisher(self, endpoint: str = "a") -> EngineBlocks:
        return EngineBlocks(endpoint, self.held, TIERS, self.adapters)

    def match(self, tokens: bytes, size: int, adapter: str = "", salt: str = "") -> dict[str, int]:
        found = self.held.match(hash_tokens(tokens, size, chain_root("", salt, adapter)))
        return {endpoint: match.blocks for endpoint, match in found.items()}


def names(blocks: EngineBlocks) -> set[int]:
    return {name for rank in blocks._ranks.values() for shelf in rank.site.shelves for name in shelf.keys}


def tokens_of(event: KVEvent) -> bytes:
    assert isinstance(event, BlocksStored)
    return event.token_ids


def test_the_captured_stream_of_a_base_model_leaves_exactly_the_blocks_that_it_announced() -> None:
    house = House()
    blocks = house.publisher()
    batches = captured_batches()[:3]
    for batch in batches:
        blocks.apply(batch)
    assert names(blocks) == {
        585086425622628229,
        16177867304826450519,
        8163502829147911824,
        13412600519232626185,
        9146882352713845750,
        9935822406303934066,
    }
    assert (blocks.block_size, blocks.blocks, blocks.skipped.total()) == (32, 6, 0)
    first, answer, second = (tokens_of(batch.events[0]) for batch in batches)
    assert house.match(first + answer, 32) == {"a": 4}
    assert house.match(first + second, 32) == {"a": 5}
    assert house.match(first + second, 32, adapter="b") == {}


def test_the_captured_stream_with_adapters_evictions_and_resets_leaves_exactly_what_is_left() -> None:
    house = House()
    blocks = house.publisher()
    batches = captured_batches()[3:8]
    blocks.apply(batches[0])
    assert house.match(tokens_of(batches[0].events[0]), 32, adapter="b") == {"a": 3}
    assert house.match(tokens_of(batches[0].events[0]), 32) == {}
    for batch in batches[1:]:
        blocks.apply(batch)
    assert names(blocks) == {
        16152433921875552264,
        10878317579585157271,
        17898681212870036783,
        15077236080763494752,
        3387451768454974873,
        8187312167658244843,
        14450729498294705165,
    }
    assert house.match(tokens_of(batches[1].events[2]) + tokens_of(batches[2].events[0]), 32) == {"a": 7}
    # The capture leaves out the batches that stored the blocks which these refer to.
    assert blocks.skipped == {"removal-unknown": 3, "unknown-parent": 3}
    assert blocks.clears == 2
    assert ("a" in house.adapters, "b" in house.adapters, "tiny" in house.adapters) == (True, True, False)


def test_two_engines_that_hold_one_prompt_hold_the_same_blocks_whatever_they_call_them() -> None:
    house = House()
    batches = captured_batches()
    house.publisher("a").apply(batches[8])
    house.publisher("b").apply(batches[9])
    renamed = replace(stored(batches[8]), hashes=(12345,))
    house.publisher("c").apply(batch(renamed))
    assert house.match(tokens_of(batches[8].events[0]), 32) == {"a": 1, "b": 1, "c": 1}


def stored(captured: EventBatch) -> BlocksStored:
    event = captured.events[0]
    assert isinstance(event, BlocksStored)
    return event


def batch(*events: KVEvent, rank: int | None = 0) -> EventBatch:
    return EventBatch(0.0, events, rank, {})


def ids(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(4, "little") for number in numbers)


def store(
    hashes: Sequence[int],
    tokens: Sequence[int] = (),
    *,
    parent: int | None = None,
    medium: str = "GPU",
    group: int = 0,
    kind: str = "",
    size: int = 2,
    salt: str = "",
    extras: Sequence[bytes] = (),
) -> BlocksStored:
    """Blocks of two tokens; without tokens given, the block with hash n has tokens 2n and 2n + 1."""
    given = tokens or [token for name in hashes for token in (2 * name, 2 * name + 1)]
    token_ids = b"" if size == 0 else ids(*given)
    return BlocksStored(tuple(hashes), parent, token_ids, size, medium, None, tuple(extras), salt, group, kind)


PROMPT = ids(2, 3, 4, 5, 6, 7)  # the blocks 1, 2, 3


def test_a_chain_may_be_announced_in_pieces() -> None:
    house = House()
    house.publisher().apply(batch(store([1]), store([2], parent=1), store([3], parent=2)))
    assert house.match(PROMPT, 2) == {"a": 3}


def test_a_removed_block_ends_the_match_and_its_return_continues_it() -> None:
    house = House()
    blocks = house.publisher()
    blocks.apply(batch(store([1, 2, 3]), BlocksRemoved((2,), "GPU", 0)))
    assert house.match(PROMPT, 2) == {"a": 1}
    blocks.apply(batch(store([2], parent=1)))
    assert house.match(PROMPT, 2) == {"a": 3}


def test_blocks_that_are_announced_again_from_the_first_one_on_are_gone_once_they_are_removed() -> None:
    house = House()
    blocks = house.publisher()
    blocks.apply(batch(store([1, 2]), store([1, 2]), store([3], parent=2), store([1, 2, 3])))
    assert house.match(PROMPT, 2) == {"a": 3}
    blocks.apply(batch(BlocksRemoved((3,), "GPU", 0), BlocksRemoved((2,), "GPU", 0)))
    assert house.match(PROMPT, 2) == {"a": 1}
    blocks.apply(batch(BlocksRemoved((1,), "GPU", 0)))
    assert (house.match(PROMPT, 2), blocks.blocks) == ({}, 0)


def test_copies_of_blocks_that_follow_others_are_held_until_the_last_is_removed() -> None:
    house = House()
    blocks = house.publisher()
    blocks.apply(batch(store([1, 2]), store([3], parent=2), store([3], parent=2)))
    blocks.apply(batch(BlocksRemoved((3,), "GPU", 0)))
    assert house.match(PROMPT, 2) == {"a": 3}
    blocks.apply(batch(BlocksRemoved((3,), "GPU", 0)))
    assert house.match(PROMPT, 2) == {"a": 2}


def test_events_of_one_batch_are_applied_in_their_order() -> None:
    house = House()
    house.publisher().apply(batch(store([1, 2]), AllCleared(), store([1])))
    assert house.match(PROMPT, 2) == {"a": 1}


def test_salts_and_images_separate_blocks() -> None:
    house = House()
    house.publisher("salted").apply(batch(store([1, 2], salt="s")))
    house.publisher("image").apply(batch(store([1, 2], extras=[b"", b"x"])))
    assert house.match(PROMPT, 2, salt="s") == {"salted": 2}
    assert house.match(PROMPT, 2) == {"image": 1}


def test_a_block_that_moves_to_host_memory_is_named_without_its_tokens_and_worth_less() -> None:
    house = House()
    blocks = house.publisher()
    blocks.apply(batch(store([1, 2]), store([2, 9], medium="CPU", size=0), BlocksRemoved((2,), "GPU", 0)))
    found = house.held.match(hash_tokens(PROMPT, 2, chain_root("", "")))
    assert found == {"a": Match(2, 1.8)}
    assert blocks.skipped == {"unknown-block": 1}
    blocks.apply(batch(BlocksRemoved((2,), "CPU", 0)))
    assert house.match(PROMPT, 2) == {"a": 1}


def test_only_layers_with_full_attention_say_how_far_a_prefix_goes() -> None:
    house = House()
    blocks = house.publisher()
    window = store([1, 2, 3], group=0, kind="sliding_window")
    full = store([1, 2], group=1, kind="full_attention")
    blocks.apply(batch(window, full, BlocksRemoved((1,), "GPU", 0), store([3], parent=2, group=1)))
    assert house.match(PROMPT, 2) == {"a": 3}
    assert blocks.skipped == {"other-attention": 3, "removal-elsewhere": 1}
    blocks.apply(batch(BlocksRemoved((1,), "GPU", 1)))
    assert house.match(PROMPT, 2) == {}


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        pytest.param(store([2], parent=77), "unknown-parent", id="a parent that was never announced"),
        pytest.param(store([1, 2], [2, 3]), "token-count", id="fewer tokens than blocks"),
        pytest.param(store([1], medium="TAPE"), "unknown-medium", id="memory that is not configured"),
        pytest.param(store([1], size=1 << 20), "block-size", id="blocks of a size that no engine has"),
        pytest.param(store([1], group=3), "other-attention", id="a group of unknown kind"),
    ],
)
def test_what_cannot_be_placed_is_passed_over_and_counted(event: BlocksStored, reason: str) -> None:
    house = House()
    blocks = house.publisher()
    blocks.apply(batch(event))
    assert (blocks.blocks, blocks.skipped) == (0, {reason: len(event.hashes)})


def test_ranks_of_one_publisher_have_caches_of_their_own() -> None:
    house = House()
    blocks = house.publisher()
    blocks.apply(batch(store([1, 3])))
    blocks.apply(batch(store([1, 2]), rank=1))
    assert house.match(PROMPT, 2) == {"a": 2}
    blocks.apply(batch(AllCleared(), rank=1))
    assert house.match(PROMPT, 2) == {"a": 1}


def test_an_endless_number_of_ranks_is_bounded() -> None:
    blocks = House().publisher()
    for rank in range(MAX_RANKS + 10):
        blocks.apply(batch(store([1]), rank=rank))
    assert (blocks.blocks, blocks.skipped) == (64, {"too-many-ranks": 10})


def test_expected_blocks_match_until_the_engine_clears_its_cache() -> None:
    house = House()
    blocks = house.publisher()
    keys = hash_tokens(PROMPT, 2, chain_root("", ""))
    blocks.apply(batch(store([1])))
    assert blocks.expect(keys, 2.0)
    assert (house.match(PROMPT, 2), blocks.blocks) == ({"a": 3}, 1)
    blocks.apply(batch(AllCleared()))
    assert house.match(PROMPT, 2) == {}
    blocks.expire(keys, 2.0)
    house.held.tidy(100)
    assert len(house.held) == 0


@pytest.mark.parametrize("rank", [pytest.param(0, id="of the first rank"), pytest.param(3, id="of another rank")])
def test_what_the_engine_does_with_a_block_that_was_expected_and_announced_counts(rank: int) -> None:
    house = House()
    blocks = house.publisher()
    keys = hash_tokens(PROMPT, 2, chain_root("", ""))
    blocks.expect(keys, 2.0)
    blocks.expect(keys, 3.0)
    blocks.apply(batch(store([1, 2]), BlocksRemoved((2,), "GPU", 0), rank=rank))
    assert house.match(PROMPT, 2) == {"a": 1}
    blocks.apply(batch(BlocksRemoved((1,), "GPU", 0), rank=rank))
    assert house.match(PROMPT, 2) == {}


def test_a_block_that_is_expected_twice_is_expected_until_the_later_time() -> None:
    house = House()
    blocks = house.publisher()
    keys = hash_tokens(PROMPT, 2, chain_root("", ""))
    blocks.expect(keys, 2.0)
    blocks.expect(keys[:2], 3.0)
    blocks.expire(keys, 2.0)
    assert house.match(PROMPT, 2) == {"a": 2}
    blocks.expire(keys[:2], 3.0)
    assert house.match(PROMPT, 2) == {}


def test_where_there_is_no_first_rank_nothing_is_expected() -> None:
    blocks = House().publisher()
    for rank in range(MAX_RANKS):
        blocks.apply(batch(store([1]), rank=rank + 1))
    assert not blocks.expect([1], 2.0)


def test_nothing_is_left_after_a_reset_or_when_the_publisher_goes() -> None:
    house = House()
    blocks = house.publisher()
    blocks.apply(batch(store([1, 2, 3])))
    blocks.reset()
    assert (house.match(PROMPT, 2), blocks.blocks, blocks.block_size) == ({}, 0, 0)
    blocks.apply(batch(store([1, 2])))
    blocks.close()
    assert house.match(PROMPT, 2) == {}
    house.held.tidy(100)
    assert len(house.held) == 0


def test_the_names_of_adapters_are_bounded() -> None:
    adapters = KnownAdapters(limit=2)
    for name in ("a", "b", "c"):
        adapters.add(name)
    assert [name in adapters for name in ("a", "b", "c")] == [True, True, False]
