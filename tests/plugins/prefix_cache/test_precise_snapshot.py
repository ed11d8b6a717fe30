import asyncio
from pathlib import Path

import msgspec
import pytest

from plugins.prefix_cache.events import payload, removed, stored
from plugins.prefix_cache.test_engine_index import KEYS, PUBLISHERS, A, B, following, hear, matched
from plugins.prefix_cache.test_followers import Watched, at, publishing, running
from turnout.plugins.prefix_cache.engine_index import EngineIndex
from turnout.plugins.prefix_cache.followers import Followers
from turnout.plugins.prefix_cache.kv_events import EventBatch, decode_batch
from turnout.plugins.prefix_cache.precise import PrecisePrefixCacheProducer
from turnout.plugins.prefix_cache.precise_config import KVEventsConfig
from turnout.plugins.prefix_cache.precise_snapshot import PreciseSnapshot
from turnout.plugins.prefix_cache.publishers import Publisher
from turnout.plugins.prefix_cache.snapshot import SnapshotError

FIRST = payload(stored([1, 2]), stored([2], parent=1))  # the second block twice


def copied(index: EngineIndex) -> dict[str, bytes]:
    return dict(asyncio.run(PreciseSnapshot(index).copy()))


def revived(content: dict[str, bytes], publishers: dict[str, Publisher] = PUBLISHERS) -> EngineIndex:
    """An index of a later life, before anything was heard."""
    index = following()
    for name, encoded in content.items():
        asyncio.run(PreciseSnapshot(index).restore(name, encoded))
    index.follow({name: publishers[name] for name in ("default/a", "default/b")}, 100.0)
    return index


def test_what_was_announced_counts_again_once_the_publisher_has_shown_that_it_is_the_same() -> None:
    before = following(A, B)
    hear(before, A, FIRST)
    hear(before, B, payload(stored([1])))
    index = revived(copied(before))
    followed = index.followed["default/a"]
    assert not followed.is_believed
    index.act(followed, followed.stream.connected(100.0))
    index.act(followed, followed.stream.replayed([(0, FIRST), (1, payload(stored([3], parent=2)))], 100.0))
    assert (followed.is_complete, followed.blocks.block_size, matched(index)["default/a"]) == (True, 2, 3)
    followed.blocks.apply(before_removal())
    assert matched(index)["default/a"] == 3
    followed.blocks.apply(before_removal())
    assert matched(index)["default/a"] == 1


def before_removal() -> EventBatch:
    return decode_batch(payload(removed(2)))


def test_a_publisher_that_restarted_in_between_leaves_nothing() -> None:
    before = following(A)
    hear(before, A, FIRST)
    index = revived(copied(before))
    followed = index.followed["default/a"]
    index.act(followed, followed.stream.connected(100.0))
    index.act(followed, followed.stream.replayed([(0, payload(stored([1])))], 100.0))
    assert (matched(index), followed.stream.counters.restarts) == ({}, 1)


def test_what_belongs_to_an_endpoint_that_left_or_moved_is_dropped() -> None:
    before = following(A, B)
    hear(before, A, FIRST)
    hear(before, B, FIRST)
    content = copied(before)
    elsewhere = {**PUBLISHERS, "default/b": Publisher("tcp://10.0.0.9:5557", "tcp://10.0.0.9:5558")}
    index = revived({"default/a": content["default/a"], "default/gone": content["default/b"]}, elsewhere)
    index.held.tidy(100)
    assert matched(index) == {"default/a": 2}
    assert len(index.held) == 2


def test_endpoints_that_cannot_be_verified_are_not_copied() -> None:
    index = following(A)
    assert copied(index) == {}
    index.follow({"default/a": Publisher("tcp://10.0.0.1:5557", "")}, 0.0)
    followed = index.followed["default/a"]
    index.act(followed, followed.stream.message(0, FIRST, 0.0))
    assert followed.is_believed
    assert copied(index) == {}


def damaged() -> dict[str, bytes]:
    before = following(A)
    hear(before, A, FIRST)
    (content,) = copied(before).values()
    fields = msgspec.msgpack.decode(content)
    shelf = fields[-1][0]

    def with_shelf(*changed: object) -> bytes:
        return msgspec.msgpack.encode([*fields[:-1], [list(changed)]])

    return {
        "no msgpack": b"\xc1",
        "cut": content[:-3],
        "half a number": with_shelf(0, 0, b"1234567", b"1234567", {}),
        "names without keys": with_shelf(0, 0, shelf[2], b"", {}),
        "no such tier": with_shelf(0, 7, shelf[2], shelf[3], {}),
        "the tier of expected blocks": with_shelf(0, 2, shelf[2], shelf[3], {}),
        "copies of nothing": with_shelf(0, 0, shelf[2], shelf[3], {99: 1}),
        "an absurd block size": msgspec.msgpack.encode([*fields[:5], 1 << 40, *fields[6:]]),
    }


@pytest.mark.parametrize("what", list(damaged()))
def test_damaged_content_is_refused_and_leaves_nothing(what: str) -> None:
    index = following()
    with pytest.raises(SnapshotError, match="the content of an endpoint is damaged"):
        asyncio.run(PreciseSnapshot(index).restore("default/a", damaged()[what]))
    index.held.tidy(100)
    assert len(index.held) == 0


async def test_a_picker_that_restarts_goes_on_with_what_the_engine_still_holds(tmp_path: Path) -> None:
    index = Watched()
    async with publishing() as publisher:
        publisher.publish(FIRST)
        before = Watched()
        followers = Followers(before, KVEventsConfig())
        followers.endpoints_changed([at(publisher)])
        async with running(followers):
            await before.until_matched({"default/a": 2})
            async with asyncio.timeout(20):
                while not (content := await PreciseSnapshot(before).copy()):  # the replay may not have ended
                    await asyncio.sleep(0)
        publisher.publish(payload(stored([3], parent=2)))
        await PreciseSnapshot(index).restore("default/a", content["default/a"])
        later = Followers(index, KVEventsConfig())
        later.endpoints_changed([at(publisher)])
        async with running(later):
            await index.until_matched({"default/a": 3})
            followed = index.followed["default/a"]
            assert (followed.blocks.stored, followed.stream.counters.batches) == (1, 1)


async def test_the_producer_keeps_a_file_of_each_kind(tmp_path: Path) -> None:
    producer = PrecisePrefixCacheProducer(snapshot_path=str(tmp_path / "index"), snapshot_interval_seconds=1.0)
    producer._index.follow({"default/a": PUBLISHERS["default/a"]}, 0.0)
    hear(producer._index, A, FIRST)
    assert producer._keeper is not None
    await producer._keeper.save()
    again = PrecisePrefixCacheProducer(snapshot_path=str(tmp_path / "index"))
    assert again._keeper is not None
    await again._keeper.load_once()
    again._index.follow({"default/a": PUBLISHERS["default/a"]}, 0.0)
    assert {name: match.blocks for name, match in again._index.match(KEYS).items()} == {"default/a": 2}
