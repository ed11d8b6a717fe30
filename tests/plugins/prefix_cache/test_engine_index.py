from collections.abc import Sequence

from plugins.prefix_cache.events import CLEARED, ids, payload, stored
from turnout.framework import Endpoint
from turnout.framework.testing import make_endpoint
from turnout.plugins.prefix_cache.blocks import chain_root, hash_tokens
from turnout.plugins.prefix_cache.engine_index import EngineIndex
from turnout.plugins.prefix_cache.publishers import Publisher
from turnout.plugins.prefix_cache.tiers import DEFAULT_BACKENDS, Tiers

A, B, C = (make_endpoint(name) for name in "abc")
PUBLISHERS = {
    endpoint.name: Publisher(f"tcp://{endpoint.address}:5557", f"tcp://{endpoint.address}:5558")
    for endpoint in (A, B, C)
}
KEYS = hash_tokens(ids(2, 3, 4, 5, 6, 7), 2, chain_root("", ""))  # the blocks 1, 2, 3


def following(*endpoints: Endpoint) -> EngineIndex:
    index = EngineIndex(Tiers(DEFAULT_BACKENDS), 10_000)
    index.follow({endpoint.name: PUBLISHERS[endpoint.name] for endpoint in endpoints}, 0.0)
    return index


def hear(index: EngineIndex, endpoint: Endpoint, *payloads: bytes) -> None:
    """The endpoint's publisher connects and replays these batches, its first ones."""
    followed = index.followed[endpoint.name]
    index.act(followed, followed.stream.connected(0.0))
    index.act(followed, followed.stream.replayed(list(enumerate(payloads)), 0.0))


def matched(index: EngineIndex, keys: Sequence[int] = KEYS) -> dict[str, int]:
    return {name: match.blocks for name, match in index.match(keys).items()}


def test_what_engines_announce_is_matched_by_endpoint() -> None:
    index = following(A, B)
    hear(index, A, payload(stored([1, 2])))
    hear(index, B, payload(stored([1])))
    assert matched(index) == {"default/a": 2, "default/b": 1}


def test_an_endpoint_is_believed_once_its_history_was_replayed() -> None:
    index = following(A)
    followed = index.followed["default/a"]
    assert (followed.is_believed, followed.is_complete) == (False, False)
    hear(index, A)
    assert (followed.is_believed, followed.is_complete) == (True, True)
    index.act(followed, followed.stream.disconnected(1.0))
    assert not followed.is_believed


def test_without_the_beginning_of_its_history_an_endpoint_is_believed_and_not_complete() -> None:
    index = following(A)
    followed = index.followed["default/a"]
    index.act(followed, followed.stream.connected(0.0))
    index.act(followed, followed.stream.replayed([(7, payload(stored([1])))], 0.0))
    assert (followed.is_believed, followed.is_complete) == (True, False)
    index.act(followed, followed.stream.message(8, payload(CLEARED), 1.0))
    assert followed.is_complete


def test_a_reset_of_the_stream_drops_what_was_announced() -> None:
    index = following(A)
    hear(index, A, payload(stored([1, 2])))
    followed = index.followed["default/a"]
    index.act(followed, followed.stream.message(1, b"\xc1", 1.0))
    assert matched(index) == {}


def test_an_endpoint_whose_engine_cleared_its_cache_or_ended_is_told_once() -> None:
    index = following(A)
    hear(index, A, payload(stored([1, 2])))
    assert list(index.take_emptied()) == []
    followed = index.followed["default/a"]
    index.act(followed, followed.stream.message(1, payload(CLEARED), 1.0))
    assert (list(index.take_emptied()), list(index.take_emptied())) == (["default/a"], [])
    index.act(followed, followed.stream.message(2, payload(stored([1])), 2.0))
    index.act(followed, followed.stream.message(0, payload(stored([3])), 3.0))
    assert list(index.take_emptied()) == ["default/a"]
    index.act(followed, followed.stream.replayed([(0, payload(stored([3])))], 3.0))
    index.act(followed, followed.stream.disconnected(4.0))
    assert list(index.take_emptied()) == []
    index.act(followed, followed.stream.tick(14.0))
    assert list(index.take_emptied()) == ["default/a"]


def test_a_batch_that_cannot_be_read_says_nothing_of_an_emptied_cache() -> None:
    index = following(A)
    hear(index, A, payload(stored([1, 2])))
    followed = index.followed["default/a"]
    index.act(followed, followed.stream.message(1, b"\xc1", 1.0))
    assert list(index.take_emptied()) == []


def test_an_endpoint_that_leaves_or_publishes_elsewhere_is_forgotten_and_others_are_not() -> None:
    index = following(A, B)
    hear(index, A, payload(stored([1])))
    hear(index, B, payload(stored([1])))
    moved = Publisher("tcp://10.0.0.9:5557", "")
    index.follow({"default/a": PUBLISHERS["default/a"], "default/b": moved}, 1.0)
    assert matched(index) == {"default/a": 1}
    index.follow({}, 2.0)
    assert (matched(index), index.followed) == ({}, {})


def test_block_sizes_are_those_of_the_believed_engines_the_most_frequent_first() -> None:
    index = following(A, B, C)
    assert index.block_sizes([A, B, C]) == []
    hear(index, A, payload(stored([1], size=16)))
    hear(index, B, payload(stored([1], size=32)))
    hear(index, C, payload(stored([1], size=32)))
    assert index.block_sizes([A, B, C]) == [32, 16]
    assert index.block_sizes([A]) == [16]
    followed = index.followed["default/c"]
    index.act(followed, followed.stream.disconnected(1.0))
    assert sorted(index.block_sizes([A, B, C])) == [16, 32]


def test_expected_blocks_count_until_their_time_is_over() -> None:
    index = following(A)
    hear(index, A, payload(stored([1])))
    index.expect(A, KEYS[:2], 2.0)
    index.expect(A, KEYS, 3.0)
    index.expect(B, KEYS, 3.0)
    assert matched(index) == {"default/a": 3}
    index.expire(2.0)
    assert matched(index) == {"default/a": 3}
    index.expire(3.0)
    assert matched(index) == {"default/a": 1}


def test_expected_blocks_do_not_outlive_a_clear_and_their_end_takes_nothing_that_came_after() -> None:
    index = following(A)
    hear(index, A, payload(stored([1])))
    index.expect(A, KEYS, 2.0)
    followed = index.followed["default/a"]
    index.act(followed, followed.stream.message(1, payload(CLEARED), 0.0))
    assert matched(index) == {}
    index.expect(A, KEYS[:2], 3.0)
    index.expire(2.0)
    assert matched(index) == {"default/a": 2}


def test_the_end_of_what_was_expected_of_an_endpoint_that_left_changes_nothing() -> None:
    index = following(A, B)
    index.expect(A, KEYS, 2.0)
    index.follow({"default/b": PUBLISHERS["default/b"]}, 1.0)
    index.expect(B, KEYS, 5.0)
    index.expire(2.0)
    assert matched(index) == {"default/b": 3}
