import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import pytest
import zmq

from plugins.prefix_cache.events import ids, payload, stored
from turnout.epp.simulator.kv_events import KVEventPublisher
from turnout.framework import Endpoint
from turnout.plugins.prefix_cache.blocks import chain_root, hash_tokens
from turnout.plugins.prefix_cache.engine_index import EngineIndex, Followed
from turnout.plugins.prefix_cache.event_stream import Action
from turnout.plugins.prefix_cache.followers import Followers
from turnout.plugins.prefix_cache.precise_config import KVEventsConfig
from turnout.plugins.prefix_cache.tiers import DEFAULT_BACKENDS, Tiers

HOST = "127.0.0.1"
KEYS = hash_tokens(ids(2, 3, 4, 5, 6, 7), 2, chain_root("", ""))  # the blocks 1, 2, 3


class Watched(EngineIndex):
    """An index that tells when something was done to it."""

    def __init__(self) -> None:
        super().__init__(Tiers(DEFAULT_BACKENDS), 10_000)
        self.acted = asyncio.Event()

    def act(self, followed: Followed, actions: Sequence[Action]) -> None:
        super().act(followed, actions)
        self.acted.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not holds():
                self.acted.clear()
                await self.acted.wait()

    async def until_matched(self, expected: dict[str, int]) -> None:
        await self.until(lambda: {name: match.blocks for name, match in self.match(KEYS).items()} == expected)


@asynccontextmanager
async def following(index: EngineIndex, config: KVEventsConfig, *endpoints: Endpoint) -> AsyncIterator[Followers]:
    followers = Followers(index, config)
    followers.endpoints_changed(endpoints)
    async with running(followers):
        yield followers


@asynccontextmanager
async def running(followers: Followers) -> AsyncIterator[None]:
    task = asyncio.create_task(followers.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def publishing(port: int = 0, replay_port: int = 0) -> AsyncIterator[KVEventPublisher]:
    publisher = KVEventPublisher(HOST, port, replay_port, "kv@test@m")
    try:
        yield publisher
    finally:
        await publisher.close()


def at(publisher: KVEventPublisher, name: str = "a") -> Endpoint:
    ports = {"events": publisher.port, "replay": publisher.replay_port}
    return Endpoint(f"default/{name}", HOST, 8000, {f"turnout/kv-{key}-port": str(port) for key, port in ports.items()})


async def test_blocks_announced_before_and_after_the_start_are_known() -> None:
    index = Watched()
    async with publishing() as publisher:
        publisher.publish(payload(stored([1])))
        async with following(index, KVEventsConfig(), at(publisher)):
            await index.until_matched({"default/a": 1})
            publisher.publish(payload(stored([2], parent=1)))
            await index.until_matched({"default/a": 2})
            assert index.followed["default/a"].is_complete


async def test_endpoints_are_followed_as_they_come_and_forgotten_as_they_go() -> None:
    index = Watched()
    async with publishing() as one, publishing() as other:
        one.publish(payload(stored([1])))
        other.publish(payload(stored([1, 2])))
        async with following(index, KVEventsConfig(), at(one)) as followers:
            await index.until_matched({"default/a": 1})
            followers.endpoints_changed([at(one), at(other, "b")])
            await index.until_matched({"default/a": 1, "default/b": 2})
            followers.endpoints_changed([at(other, "b")])
            other.publish(payload(stored([3], parent=2)))
            await index.until_matched({"default/b": 3})
        assert list(index.followed) == ["default/b"]


async def test_a_publisher_that_restarts_leaves_nothing_of_what_it_announced_before() -> None:
    index = Watched()
    async with publishing() as publisher:
        publisher.publish(payload(stored([1, 2, 3])))
        ports = (publisher.port, publisher.replay_port or 0)
        endpoint = at(publisher)
        async with following(index, KVEventsConfig(), endpoint):
            await index.until_matched({"default/a": 3})
            await publisher.close()
            async with publishing(*ports) as restarted:
                restarted.publish(payload(stored([1])))
                await index.until_matched({"default/a": 1})


async def test_what_was_known_is_verified_and_kept_when_the_work_is_taken_up_again() -> None:
    index = Watched()
    async with publishing() as publisher:
        publisher.publish(payload(stored([1])))
        followers = Followers(index, KVEventsConfig())
        followers.endpoints_changed([at(publisher)])
        async with running(followers):
            await index.until_matched({"default/a": 1})
        publisher.publish(payload(stored([2], parent=1)))
        async with running(followers):
            await index.until_matched({"default/a": 2})
        followed = index.followed["default/a"]
        assert (followed.blocks.stored, followed.stream.reason) == (2, "")


async def test_without_discovery_nobody_is_followed() -> None:
    index = Watched()
    nowhere = KVEventsConfig(discover_pods=False)
    async with publishing() as publisher, following(index, nowhere, at(publisher)) as followers:
        await asyncio.sleep(0)
        assert (index.followed, followers.problems) == ({}, {})


async def test_endpoints_that_cannot_be_told_apart_are_a_problem_and_not_followed() -> None:
    index = Watched()
    twins = [Endpoint(f"default/{name}", HOST, port) for name, port in (("a", 8000), ("b", 8001))]
    async with publishing() as publisher:
        publisher.publish(payload(stored([1])))
        async with following(index, KVEventsConfig(), *twins, at(publisher, "c")) as followers:
            await index.until_matched({"default/c": 1})
            assert sorted(followers.problems) == ["default/a", "default/b"]
            assert list(index.followed) == ["default/c"]


@asynccontextmanager
async def connecting_publisher(endpoint: str) -> AsyncIterator[zmq.Socket[bytes]]:
    """A PUB socket that connects, as an engine does that was given a fixed address."""
    with zmq.Context() as context, context.socket(zmq.PUB) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(endpoint)
        yield socket


async def test_engines_that_connect_here_are_told_apart_by_their_topics() -> None:
    index = Watched()
    pool = [Endpoint("default/a", "10.0.0.1", 8000), Endpoint("default/b", "10.0.0.2", 8000)]
    with zmq.Context() as context, context.socket(zmq.SUB) as probe:
        port = probe.bind_to_random_port(f"tcp://{HOST}")
    address = f"tcp://{HOST}:{port}"
    async with following(index, KVEventsConfig(zmq_endpoint=address), *pool), connecting_publisher(address) as engine:
        sequence = 0

        async def publish_until_matched(topic: bytes, block: int, expected: dict[str, int]) -> None:
            # A subscription reaches a publisher some time after it connected; what it sends before is lost.
            nonlocal sequence
            while {name: match.blocks for name, match in index.match(KEYS).items()} != expected:
                engine.send_multipart([topic, sequence.to_bytes(8, "big"), payload(stored([block]))])
                sequence += 1
                index.acted.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(index.acted.wait(), 0.05)

        async with asyncio.timeout(20):
            await publish_until_matched(b"kv@10.0.0.2:8000@m", 1, {"default/b": 1})
        engine.send_multipart([b"kv@10.9.9.9:8000@m", (0).to_bytes(8, "big"), payload(stored([1]))])
        async with asyncio.timeout(20):
            await publish_until_matched(b"kv@10.0.0.1@m", 1, {"default/a": 1, "default/b": 1})


async def test_an_address_at_which_engines_cannot_connect_is_an_error() -> None:
    followers = Followers(Watched(), KVEventsConfig(zmq_endpoint="tcp://203.0.113.7:5557"))
    with pytest.raises(OSError, match="cannot receive KV events at tcp://203"):
        await followers.run()
