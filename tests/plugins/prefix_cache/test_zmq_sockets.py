import asyncio
import math
from collections.abc import Iterator

import pytest
import zmq

from turnout.plugins.prefix_cache.zmq_sockets import (
    ConnectionEvent,
    Readiness,
    SharedSockets,
    Socket,
    Subscription,
    live_message,
    received,
    received_with_connections,
    replayed_message,
)

SEVEN = bytes(7) + b"\x07"


@pytest.fixture
def shared() -> Iterator[SharedSockets]:
    sockets = SharedSockets()
    yield sockets
    sockets.close()


@pytest.fixture
def pair(shared: SharedSockets) -> tuple[Socket, Socket]:
    sender, receiver = shared.context.socket(zmq.PAIR), shared.context.socket(zmq.PAIR)
    receiver.bind("inproc://pair")
    sender.connect("inproc://pair")
    return sender, receiver


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        pytest.param([b"topic", SEVEN, b"payload"], (7, b"payload"), id="topic, number, payload"),
        pytest.param([b"", b"\xff" * 8, b""], (2**64 - 1, b""), id="the largest number"),
        pytest.param([b"topic", SEVEN], None, id="two frames"),
        pytest.param([b"topic", SEVEN, b"payload", b""], None, id="four frames"),
        pytest.param([b"topic", b"7", b"payload"], None, id="a number of one byte"),
    ],
)
def test_published_messages_have_three_frames(frames: list[bytes], message: tuple[int, bytes] | None) -> None:
    assert live_message(frames) == message


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        pytest.param([b"", b"topic", SEVEN, b"payload"], (7, b"payload"), id="with the topic"),
        pytest.param([b"", SEVEN, b"payload"], (7, b"payload"), id="without the topic"),
        pytest.param([b"", b"", b"\xff" * 8, b""], (2**64 - 1, b""), id="the end"),
        pytest.param([b"topic", SEVEN, b"payload"], None, id="no empty frame"),
        pytest.param([b"", SEVEN], None, id="two frames"),
        pytest.param([b"", b"topic", b"7", b"payload"], None, id="a number of one byte"),
    ],
)
def test_replies_have_three_or_four_frames(frames: list[bytes], message: tuple[int, bytes] | None) -> None:
    assert replayed_message(frames) == message


def test_a_turn_ends_after_32_messages(pair: tuple[Socket, Socket]) -> None:
    sender, receiver = pair
    for _ in range(40):
        sender.send_multipart([b"a", b"b"])
    assert received(receiver) == [[b"a", b"b"]] * 32
    assert len(received(receiver)) == 8
    assert received(receiver) == []


def test_a_turn_ends_after_64_kib(pair: tuple[Socket, Socket]) -> None:
    sender, receiver = pair
    for _ in range(3):
        sender.send(bytes(40_000))
    assert len(received(receiver)) == 2
    assert len(received(receiver)) == 1


async def test_a_subscription_tells_of_its_connections(shared: SharedSockets) -> None:
    subscription = Subscription(shared, "kv@", heartbeat_seconds=5.0)
    ready = Readiness()
    ready.watch(subscription.socket, subscription.monitor)
    subscription.socket.bind("tcp://127.0.0.1:*")
    publisher = shared.context.socket(zmq.PUB)
    publisher.connect(subscription.socket.getsockopt_string(zmq.LAST_ENDPOINT))
    while not (events := subscription.events()):
        await ready.wait(math.inf)
    assert [event.connected for event in events] == [True]
    while not (messages := received_with_connections(subscription.socket)):
        # Until the subscription has arrived there, it is dropped.
        publisher.send_multipart([b"other", b""])
        publisher.send_multipart([b"kv@1", b"", b"x"])
        await asyncio.sleep(0)
    assert messages[0][0] == [b"kv@1", b"", b"x"]
    publisher.close(linger=0)
    while not (events := subscription.events()):
        received_with_connections(subscription.socket)
        await ready.wait(math.inf)
    assert events == [ConnectionEvent(False, messages[0][1])]
    ready.unwatch(subscription.socket, subscription.monitor)
    subscription.close()


async def test_waiting_ends_at_its_deadline(shared: SharedSockets) -> None:
    ready = Readiness()
    await ready.wait(-math.inf)
    await ready.wait(asyncio.get_running_loop().time() + 0.001)
