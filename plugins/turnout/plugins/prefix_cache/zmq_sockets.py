"""Sockets for KV events that an asyncio loop reads without ever waiting in them."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import zmq
from zmq.utils.monitor import parse_monitor_message

from turnout.plugins.prefix_cache.kv_events import MAX_PAYLOAD_BYTES

MESSAGES_PER_TURN = 32
BYTES_PER_TURN = 64 * 1024
"""How much is read from a socket before other tasks have their turn; the message that exceeds it is the last."""

HEARTBEAT_SECONDS = 5.0
"""A peer that does not answer for three of these is taken for dead."""

# What does not fit waits at the publisher. A message may have 8 MiB, and an endpoint must not take gigabytes.
_SUBSCRIBER_MESSAGES = 64
# The publisher's replay socket drops what does not fit its own queue of 1,000: take it off quickly.
_REPLAY_MESSAGES = 20_000
_FIRST_RECONNECT_MILLISECONDS = 100
_LAST_RECONNECT_MILLISECONDS = 5_000
_CONNECT_TIMEOUT_MILLISECONDS = 5_000
_MAX_SOCKETS = 65_536
_LONGEST_SLEEP_SECONDS = 3_600.0

Socket = zmq.Socket[bytes]


class SharedSockets:
    """What the subscribers of one event loop share: the sockets' context, and whose turn it is.

    A subscriber that holds ``turns`` may work; it passes the turn on after other tasks have run. However many
    subscribers have something to do, the loop is kept busy by one of them at a time.
    """

    def __init__(self) -> None:
        self.context: zmq.Context[Socket] = zmq.Context()
        self.context.set(zmq.MAX_SOCKETS, min(_MAX_SOCKETS, int(self.context.get(zmq.SOCKET_LIMIT))))
        self.turns = asyncio.Lock()

    def close(self) -> None:
        """Closes all sockets; subscribers must have ended before."""
        self.context.destroy(linger=0)


@dataclass(frozen=True, slots=True)
class ConnectionEvent:
    """A peer came (its handshake succeeded) or went. ``descriptor`` is the number of the closed connection's file."""

    connected: bool
    descriptor: int


class Subscription:
    """A SUB socket and what happens to its connections.

    ``connect`` or ``bind`` names the address; nothing is sent or received before. At most 64 messages wait in it,
    and a peer that sends one of more than 8 MiB is disconnected.
    """

    def __init__(self, shared: SharedSockets, topic_filter: str, heartbeat_seconds: float) -> None:
        self.socket: Socket = shared.context.socket(zmq.SUB)
        configure(self.socket, _SUBSCRIBER_MESSAGES, heartbeat_seconds)
        self.socket.subscribe(topic_filter.encode())
        self.monitor: Socket = self.socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)

    def events(self) -> list[ConnectionEvent]:
        """What happened to connections since the last call, in order."""
        parsed = [parse_monitor_message(frames) for frames in received(self.monitor)]
        return [ConnectionEvent(each["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED, each["value"]) for each in parsed]

    def close(self) -> None:
        """Closes the connections; what was not read is dropped."""
        self.socket.disable_monitor()
        self.monitor.close(linger=0)
        self.socket.close(linger=0)


def replay_socket(shared: SharedSockets, address: str, heartbeat_seconds: float) -> Socket:
    """A DEALER that connects to a publisher's replay socket."""
    socket: Socket = shared.context.socket(zmq.DEALER)
    configure(socket, _REPLAY_MESSAGES, heartbeat_seconds)
    socket.connect(address)
    return socket


def configure(socket: Socket, messages: int, heartbeat_seconds: float) -> None:
    """Bounds what the socket holds and makes it notice peers that are gone."""
    milliseconds = max(1, round(heartbeat_seconds * 1_000))
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.IPV6, 1)
    socket.setsockopt(zmq.RCVHWM, messages)
    socket.setsockopt(zmq.MAXMSGSIZE, MAX_PAYLOAD_BYTES)
    socket.setsockopt(zmq.HEARTBEAT_IVL, milliseconds)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 2 * milliseconds)
    socket.setsockopt(zmq.RECONNECT_IVL, _FIRST_RECONNECT_MILLISECONDS)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, _LAST_RECONNECT_MILLISECONDS)
    socket.setsockopt(zmq.CONNECT_TIMEOUT, _CONNECT_TIMEOUT_MILLISECONDS)


def received(socket: Socket) -> list[list[bytes]]:
    """The messages that are there, up to one turn's worth."""
    messages: list[list[bytes]] = []
    size = 0
    while len(messages) < MESSAGES_PER_TURN and size < BYTES_PER_TURN:
        try:
            frames = socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            break
        messages.append(frames)
        size += sum(map(len, frames))
    return messages


def received_with_connections(socket: Socket) -> list[tuple[list[bytes], int]]:
    """The same, each with the number of the file of the connection it came over."""
    messages: list[tuple[list[bytes], int]] = []
    size = 0
    while len(messages) < MESSAGES_PER_TURN and size < BYTES_PER_TURN:
        try:
            frames = socket.recv_multipart(zmq.NOBLOCK, copy=False)
        except zmq.Again:
            break
        messages.append(([frame.bytes for frame in frames], int(frames[0].get(zmq.SRCFD))))
        size += sum(map(len, frames))
    return messages


class Readiness:
    """Wakes one task when any of its sockets may have something to read.

    A socket tells of a message only once: after a wake-up every socket must be read until it has nothing more.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._awake = asyncio.Event()

    def watch(self, *sockets: Socket) -> None:
        """Wakes for these sockets from now on."""
        for socket in sockets:
            self._loop.add_reader(int(socket.getsockopt(zmq.FD)), self._awake.set)

    def unwatch(self, *sockets: Socket) -> None:
        """Must come before a watched socket is closed."""
        for socket in sockets:
            self._loop.remove_reader(int(socket.getsockopt(zmq.FD)))

    async def wait(self, deadline: float) -> None:
        """Waits until a socket is ready, or until ``deadline`` by ``time.monotonic``."""
        seconds = deadline - time.monotonic()
        if seconds <= 0:
            return
        timer = self._loop.call_later(min(seconds, _LONGEST_SLEEP_SECONDS), self._awake.set)
        try:
            await self._awake.wait()
        finally:
            timer.cancel()
        self._awake.clear()


def sequence_of(frame: bytes) -> int | None:
    """The number that a frame of 8 bytes holds; None if it holds none."""
    return int.from_bytes(frame, "big") if len(frame) == 8 else None


def live_message(frames: Sequence[bytes]) -> tuple[int, bytes] | None:
    """Number and payload of a published message: topic, number, payload. None if it is not one."""
    sequence = sequence_of(frames[1]) if len(frames) == 3 else None
    return None if sequence is None else (sequence, frames[2])


def replayed_message(frames: Sequence[bytes]) -> tuple[int, bytes] | None:
    """Number and payload of a reply: empty frame, topic (not in all versions), number, payload. None if not one."""
    if len(frames) not in {3, 4} or frames[0]:
        return None
    sequence = sequence_of(frames[-2])
    return None if sequence is None else (sequence, frames[-1])
