import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Self

import msgspec
import pytest
import zmq

from turnout.epp.simulator.kv_events import KVEventPublisher
from turnout.plugins.prefix_cache import zmq_subscriber
from turnout.plugins.prefix_cache.event_stream import Action, Apply, RequestReplay, Reset, StreamState
from turnout.plugins.prefix_cache.kv_events import MAX_PAYLOAD_BYTES, AllCleared, BlocksRemoved, BlocksStored
from turnout.plugins.prefix_cache.zmq_sockets import Socket
from turnout.plugins.prefix_cache.zmq_subscriber import (
    CentralSubscriber,
    EventSubscriber,
    Publisher,
    SharedSockets,
    publisher_of,
)

HOST = "127.0.0.1"


def stored(*blocks: int, rank: int = 0, timestamp: float = 1.0) -> bytes:
    return msgspec.msgpack.encode([timestamp, [["BlockStored", blocks, None, [], 0]], rank])


def removed(*blocks: int) -> bytes:
    return msgspec.msgpack.encode([1.0, [["BlockRemoved", blocks]], 0])


class Held:
    """The blocks that the actions amount to."""

    def __init__(self) -> None:
        self.blocks: set[int] = set()
        self.resets: list[str] = []
        self.requests: list[int] = []
        self.batches = 0
        self.most_at_once = 0

    def __call__(self, actions: Sequence[Action]) -> None:
        assert actions
        self.most_at_once = max(self.most_at_once, len(actions))
        for action in actions:
            match action:
                case Apply():
                    self.batches += 1
                    for event in action.batch.events:
                        self.apply(event)
                case Reset():
                    self.blocks.clear()
                    self.resets.append(action.reason)
                case RequestReplay():
                    self.requests.append(action.start)

    def apply(self, event: BlocksStored | BlocksRemoved | AllCleared) -> None:
        match event:
            case BlocksStored():
                self.blocks.update(event.hashes)
            case BlocksRemoved():
                self.blocks.difference_update(event.hashes)
            case AllCleared():
                self.blocks.clear()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0)


@pytest.fixture
def shared() -> Iterator[SharedSockets]:
    sockets = SharedSockets()
    yield sockets
    sockets.close()


@asynccontextmanager
async def running(subscriber: EventSubscriber | CentralSubscriber) -> AsyncIterator[None]:
    task = asyncio.create_task(subscriber.run())
    try:
        yield
    finally:
        was_running = not task.done()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert was_running


@pytest.fixture
async def publisher() -> AsyncIterator[KVEventPublisher]:
    opened = KVEventPublisher(HOST, 0, 0, f"kv@{HOST}:8000@tiny")
    yield opened
    await opened.close()


def subscriber_of(
    shared: SharedSockets, publisher: KVEventPublisher, held: Held, *, replays: bool = True
) -> EventSubscriber:
    replay_address = f"tcp://{HOST}:{publisher.replay_port}" if replays else None
    return EventSubscriber(shared, f"tcp://{HOST}:{publisher.port}", held, replay_address=replay_address)


async def publish_until_held(publisher: KVEventPublisher, held: Held, block: int) -> None:
    """The first messages go nowhere until the subscription has arrived."""
    while block not in held.blocks:
        publisher.publish(stored(block))
        await asyncio.sleep(0)


async def test_live_batches_arrive(shared: SharedSockets, publisher: KVEventPublisher) -> None:
    held = Held()
    subscriber = subscriber_of(shared, publisher, held)
    async with running(subscriber):
        await until(lambda: subscriber.stream.state is StreamState.LIVE)
        await publish_until_held(publisher, held, 1)
        publisher.publish(stored(2))
        publisher.publish(removed(1))
        await until(lambda: held.blocks == {2})
    assert held.resets == []


async def test_a_subscriber_that_joins_late_gets_the_history(
    shared: SharedSockets, publisher: KVEventPublisher
) -> None:
    for block in range(100):
        publisher.publish(stored(block))
    publisher.publish(removed(*range(50)))
    held = Held()
    subscriber = subscriber_of(shared, publisher, held)
    async with running(subscriber):
        await until(lambda: subscriber.stream.state is StreamState.LIVE)
        assert held.blocks == set(range(50, 100))
        assert subscriber.stream.history_complete
    assert (held.requests, held.batches) == ([0], 101)


async def test_without_replays_a_late_subscriber_begins_where_it_joins(
    shared: SharedSockets, publisher: KVEventPublisher
) -> None:
    publisher.publish(stored(1))
    held = Held()
    subscriber = subscriber_of(shared, publisher, held, replays=False)
    async with running(subscriber):
        await publish_until_held(publisher, held, 2)
        assert held.blocks == {2}
        assert not subscriber.stream.history_complete


async def test_a_batch_that_got_lost_is_fetched(shared: SharedSockets, publisher: KVEventPublisher) -> None:
    held = Held()
    async with running(subscriber_of(shared, publisher, held)):
        await publish_until_held(publisher, held, 1)
        # Kept for replays, but never sent.
        publisher._kept.append((publisher._next_sequence.to_bytes(8, "big"), removed(1)))
        publisher._next_sequence += 1
        publisher.publish(stored(2))
        await until(lambda: held.blocks == {2})
    assert held.resets == []
    assert len(held.requests) >= 2


@pytest.mark.parametrize("replays", [True, False], ids=["with replays", "without replays"])
async def test_a_publisher_that_restarts_leaves_no_block_behind(shared: SharedSockets, replays: bool) -> None:
    first = KVEventPublisher(HOST, 0, 0, "")
    held = Held()
    subscriber = subscriber_of(shared, first, held, replays=replays)
    async with running(subscriber):
        await publish_until_held(first, held, 1)
        await first.close()
        await until(lambda: subscriber.stream.state is StreamState.CONNECTING)
        second = KVEventPublisher(HOST, first.port, first.replay_port, "")
        try:
            await publish_until_held(second, held, 2)
            assert held.blocks == {2}
            assert len(held.resets) == 1
        finally:
            await second.close()


async def test_a_publisher_that_comes_later_is_found(shared: SharedSockets, publisher: KVEventPublisher) -> None:
    port, replay_port = publisher.port, publisher.replay_port
    await publisher.close()
    held = Held()
    subscriber = subscriber_of(shared, publisher, held)
    async with running(subscriber):
        await until(lambda: subscriber._subscription is not None)
        late = KVEventPublisher(HOST, port, replay_port, "")
        late.publish(stored(3))
        try:
            await until(lambda: held.blocks == {3})
        finally:
            await late.close()


async def test_a_burst_leaves_other_tasks_their_turns(shared: SharedSockets, publisher: KVEventPublisher) -> None:
    for block in range(10_000):
        publisher.publish(stored(block))
    held = Held()
    turns = 0
    async with running(subscriber_of(shared, publisher, held)):
        while len(held.blocks) < 10_000:
            turns += 1
            await asyncio.sleep(0)
    assert held.most_at_once <= 32
    assert turns >= 10_000 / 32


class RawPublisher:
    """A PUB socket that sends whatever it is told, and perhaps a ROUTER that says whatever it is told."""

    def __init__(self, shared: SharedSockets) -> None:
        self.socket: Socket = shared.context.socket(zmq.PUB)
        self.router: Socket = shared.context.socket(zmq.ROUTER)
        self.address = self.bound(self.socket)
        self.replay_address = self.bound(self.router)

    def bound(self, socket: Socket) -> str:
        socket.bind(f"tcp://{HOST}:*")
        return socket.getsockopt_string(zmq.LAST_ENDPOINT)

    def send(self, sequence: int, payload: bytes) -> None:
        self.socket.send_multipart([b"", sequence.to_bytes(8, "big"), payload])

    async def send_until_held(self, held: Held, block: int, sequence: int = 0) -> int:
        """What is sent before the subscription arrives is lost; returns the next sequence number."""
        while not held.blocks:
            self.send(sequence, stored(block))
            sequence += 1
            await asyncio.sleep(0)
        return sequence

    async def request(self) -> tuple[bytes, int]:
        await until(lambda: bool(self.router.poll(0)))
        identity, empty, start = self.router.recv_multipart()
        assert empty == b""
        return identity, int.from_bytes(start, "big")


@pytest.fixture
def raw(shared: SharedSockets) -> RawPublisher:
    return RawPublisher(shared)


async def test_messages_of_another_form_are_counted_and_skipped(shared: SharedSockets, raw: RawPublisher) -> None:
    held = Held()
    subscriber = EventSubscriber(shared, raw.address, held)
    async with running(subscriber):
        sequence = await raw.send_until_held(held, 1)
        raw.socket.send_multipart([b"only one"])
        raw.socket.send_multipart([b"topic", b"short", b"payload"])
        raw.socket.send_multipart([b"a", b"b", b"c", b"d"])
        raw.send(sequence, stored(2))
        await until(lambda: held.blocks == {1, 2})
    assert subscriber.malformed_messages == 3
    assert held.resets == []


async def test_replies_without_a_topic_and_broken_ones(shared: SharedSockets, raw: RawPublisher) -> None:
    held = Held()
    subscriber = EventSubscriber(shared, raw.address, held, replay_address=raw.replay_address)
    async with running(subscriber):
        identity, start = await raw.request()
        assert start == 0
        raw.router.send_multipart([identity, b"", bytes(8), stored(1)])
        raw.router.send_multipart([identity, b"nonsense"])
        raw.router.send_multipart([identity, b"", b"\xff" * 8, b""])
        await until(lambda: subscriber.stream.state is StreamState.LIVE)
    assert held.blocks == {1}
    assert subscriber.malformed_messages == 1


async def test_answers_to_an_earlier_request_are_not_taken_for_those_to_a_later_one(
    shared: SharedSockets, raw: RawPublisher
) -> None:
    held = Held()
    subscriber = EventSubscriber(shared, raw.address, held, replay_address=raw.replay_address)
    async with running(subscriber):
        earlier, _ = await raw.request()
        subscriber._perform([RequestReplay(0)])
        later, _ = await raw.request()
        raw.router.send_multipart([earlier, b"", bytes(8), stored(1)])
        raw.router.send_multipart([earlier, b"", b"\xff" * 8, b""])
        raw.router.send_multipart([later, b"", bytes(8), stored(2)])
        raw.router.send_multipart([later, b"", b"\xff" * 8, b""])
        await until(lambda: subscriber.stream.state is StreamState.LIVE)
    assert held.blocks == {2}


async def test_a_message_beyond_the_limit_costs_the_connection(shared: SharedSockets, raw: RawPublisher) -> None:
    held = Held()
    subscriber = EventSubscriber(shared, raw.address, held)
    async with running(subscriber):
        sequence = await raw.send_until_held(held, 1)
        raw.send(sequence, bytes(MAX_PAYLOAD_BYTES + 1))
        await until(lambda: bool(held.resets))
        assert held.blocks == set()
        await raw.send_until_held(held, 2, sequence + 1)
    assert held.blocks == {2}


class Proxy:
    """Passes bytes on until it is told to swallow them."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.swallows = False
        self.tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self.server = await asyncio.start_server(self.accept, HOST, 0)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error: object) -> None:
        self.server.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        other_reader, other_writer = await asyncio.open_connection(HOST, self.target)
        for source, sink in ((reader, other_writer), (other_reader, writer)):
            self.tasks.add(asyncio.create_task(self.copy(source, sink)))

    async def copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65_536):
                if not self.swallows:
                    sink.write(data)
        finally:
            sink.close()


async def test_a_peer_that_falls_silent_is_noticed(shared: SharedSockets, publisher: KVEventPublisher) -> None:
    held = Held()
    async with Proxy(publisher.port) as proxy:
        address = f"tcp://{HOST}:{proxy.port}"
        subscriber = EventSubscriber(shared, address, held, heartbeat_seconds=0.05)
        async with running(subscriber):
            await publish_until_held(publisher, held, 1)
            proxy.swallows = True
            await until(lambda: bool(held.resets))
    assert held.blocks == set()


async def test_an_address_that_is_none_ends_the_subscriber(shared: SharedSockets) -> None:
    with pytest.raises(zmq.ZMQError):
        await EventSubscriber(shared, "nowhere", Held()).run()


@pytest.mark.parametrize(
    ("topic", "publisher"),
    [
        pytest.param(b"kv@10.0.0.1:8000@tiny", Publisher("10.0.0.1", 8000, "tiny"), id="host and port"),
        pytest.param(b"kv@10.0.0.1@org/tiny", Publisher("10.0.0.1", None, "org/tiny"), id="host alone"),
        pytest.param(b"kv@[fd00::1]:8000@tiny", Publisher("fd00::1", 8000, "tiny"), id="IPv6 and port"),
        pytest.param(b"kv@fd00::1@tiny", Publisher("fd00::1", None, "tiny"), id="IPv6 alone"),
        pytest.param(b"kv@10.0.0.1@tiny@v2", Publisher("10.0.0.1", None, "tiny@v2"), id="a model with an @"),
        pytest.param(b"kv@10.0.0.1:http@tiny", None, id="a port that is a word"),
        pytest.param(b"kv@10.0.0.1", None, id="no model"),
        pytest.param(b"kv@@tiny", None, id="no host"),
        pytest.param(b"", None, id="nothing"),
        pytest.param(b"kv@\xff@tiny", None, id="not UTF-8"),
    ],
)
def test_topics_name_their_publishers(topic: bytes, publisher: Publisher | None) -> None:
    assert publisher_of(topic) == publisher


A, B = Publisher("10.0.0.1", 8000, "tiny", 0), Publisher("10.0.0.2", None, "tiny", 0)
TOPIC_OF_A, TOPIC_OF_B = b"kv@10.0.0.1:8000@tiny", b"kv@10.0.0.2@tiny"


class Central:
    """A central subscriber and what each publisher holds by its word."""

    def __init__(self, shared: SharedSockets) -> None:
        self.held: dict[Publisher, Held] = {}
        self.context = shared.context
        # Kept until the context closes them.
        self.sockets: list[Socket] = []
        self.subscriber = CentralSubscriber(
            shared,
            f"tcp://{HOST}:*",
            lambda publisher, actions: self.held.setdefault(publisher, Held())(actions),
            accepts=lambda publisher: publisher.host.startswith("10."),
        )

    def connect(self) -> Socket:
        socket: Socket = self.context.socket(zmq.PUB)
        socket.connect(self.subscriber.endpoint)
        self.sockets.append(socket)
        return socket

    def blocks(self, publisher: Publisher) -> set[int]:
        return self.held[publisher].blocks if publisher in self.held else set()

    async def send_until_held(self, socket: Socket, topic: bytes, publisher: Publisher, block: int) -> int:
        """The number of the next message."""
        sequence = 0
        while block not in self.blocks(publisher):
            socket.send_multipart([topic, sequence.to_bytes(8, "big"), stored(block, rank=publisher.rank or 0)])
            sequence += 1
            await asyncio.sleep(0)
        return sequence


@pytest.fixture
def central(shared: SharedSockets) -> Central:
    return Central(shared)


async def test_one_socket_serves_all_publishers_by_topic(central: Central) -> None:
    async with running(central.subscriber):
        a, b = central.connect(), central.connect()
        await central.send_until_held(a, TOPIC_OF_A, A, 1)
        await central.send_until_held(b, TOPIC_OF_B, B, 2)
        assert (central.blocks(A), central.blocks(B)) == ({1}, {2})
        assert set(central.subscriber.streams) == {A, B}


async def test_ranks_under_one_topic_are_streams_of_their_own(central: Central) -> None:
    other_rank = Publisher("10.0.0.1", 8000, "tiny", 1)
    async with running(central.subscriber):
        a, b = central.connect(), central.connect()
        await central.send_until_held(a, TOPIC_OF_A, A, 1)
        await central.send_until_held(b, TOPIC_OF_A, other_rank, 2)
        assert (central.blocks(A), central.blocks(other_rank)) == ({1}, {2})
        assert (central.held[A].resets, central.held[other_rank].resets) == ([], [])


async def test_messages_of_others_are_counted(central: Central, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zmq_subscriber, "MAX_PUBLISHERS", 1)
    async with running(central.subscriber):
        a = central.connect()
        sequence = await central.send_until_held(a, TOPIC_OF_A, A, 1)
        a.send_multipart([b"kv@192.168.0.1@tiny", bytes(8), stored(1)])
        a.send_multipart([b"kv@no model", bytes(8), stored(1)])
        a.send_multipart([TOPIC_OF_B, bytes(8), stored(1)])
        a.send_multipart([TOPIC_OF_A, b"short", stored(1)])
        a.send_multipart([TOPIC_OF_A, sequence.to_bytes(8, "big"), stored(2)])
        await until(lambda: central.blocks(A) == {1, 2})
    subscriber = central.subscriber
    assert (subscriber.unknown_messages, subscriber.refused_messages, subscriber.malformed_messages) == (2, 1, 1)
    assert set(subscriber.streams) == {A}


async def test_a_connection_that_ends_drops_what_came_over_it(central: Central) -> None:
    async with running(central.subscriber):
        a, b = central.connect(), central.connect()
        await central.send_until_held(a, TOPIC_OF_A, A, 1)
        await central.send_until_held(b, TOPIC_OF_B, B, 2)
        a.close(linger=0)
        await until(lambda: central.blocks(A) == set())
        assert central.blocks(B) == {2}
        assert central.subscriber.streams[A].state is StreamState.CONNECTING
        await central.send_until_held(central.connect(), TOPIC_OF_A, A, 3)
        assert central.blocks(A) == {3}


async def test_a_forgotten_publisher_is_asked_about_again(central: Central) -> None:
    async with running(central.subscriber):
        a = central.connect()
        await central.send_until_held(a, TOPIC_OF_A, A, 1)
        central.subscriber.forget(A)
        assert central.subscriber.streams == {}
        await central.send_until_held(a, TOPIC_OF_A, A, 2)
        assert set(central.subscriber.streams) == {A}


def test_an_endpoint_that_cannot_be_bound_is_an_error_that_names_it(shared: SharedSockets, central: Central) -> None:
    endpoint = central.subscriber.endpoint
    with pytest.raises(OSError, match=re.escape(f"cannot receive KV events at {endpoint}: ")):
        CentralSubscriber(shared, endpoint, lambda publisher, actions: None, accepts=lambda publisher: True)
