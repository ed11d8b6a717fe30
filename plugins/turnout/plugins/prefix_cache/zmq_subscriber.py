"""Receives KV events over ZMQ: one subscriber for each publisher, or one for all that connect to it."""

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import zmq

from turnout.plugins.prefix_cache.event_stream import (
    CALM_SECONDS,
    Action,
    EventStream,
    Position,
    RequestReplay,
)
from turnout.plugins.prefix_cache.kv_events import rank_of
from turnout.plugins.prefix_cache.zmq_sockets import (
    HEARTBEAT_SECONDS,
    Readiness,
    SharedSockets,
    Socket,
    Subscription,
    live_message,
    received,
    received_with_connections,
    replay_socket,
    replayed_message,
)

__all__ = ["CentralSubscriber", "EventSubscriber", "Publisher", "SharedSockets", "publisher_of"]

MAX_PUBLISHERS = 4_096
"""Streams that one central subscriber follows."""

_END_OF_REPLAY = (1 << 64) - 1
_FIRST_REOPEN_SECONDS = 0.05
_LAST_REOPEN_SECONDS = 5.0


class EventSubscriber:
    """Follows one publisher that listens at ``address`` (tcp://host:port), with replays from ``replay_address``.

    ``on_actions`` gets what the stream wants done, never nothing; requests for replays are among it for
    information and are already being served. It is called from the task that runs ``run``, for a bounded number of
    batches at a time. ``stream`` tells the state. ``malformed_messages`` counts messages of
    another form than a publisher's.
    """

    def __init__(
        self,
        shared: SharedSockets,
        address: str,
        on_actions: Callable[[Sequence[Action]], None],
        *,
        replay_address: str | None = None,
        topic_filter: str = "",
        resume: Position | None = None,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        self.malformed_messages = 0
        self.stream = EventStream(can_replay=replay_address is not None, now=time.monotonic(), resume=resume)
        self._shared = shared
        self._address = address
        self._on_actions = on_actions
        self._replay_address = replay_address
        self._topic_filter = topic_filter
        self._heartbeat_seconds = heartbeat_seconds
        self._subscription: Subscription | None = None
        self._replay: Socket | None = None
        self._connected_at: float | None = None
        self._was_busy = False
        self._open_at = -math.inf
        self._reopen_after = _FIRST_REOPEN_SECONDS

    async def run(self) -> None:
        """Receives until it is cancelled; once for each subscriber.

        Raises:
            zmq.ZMQError: an address is not one.
        """
        self._ready = Readiness()
        try:
            while True:
                async with self._shared.turns:
                    was_busy = self._take_turn(time.monotonic())
                    await asyncio.sleep(0)
                if not was_busy:
                    deadline = self.stream.deadline
                    await self._ready.wait(deadline if self._subscription else min(deadline, self._open_at))
        finally:
            self._close_replay()
            self._close_subscription()

    def _take_turn(self, now: float) -> bool:
        """Does a bounded piece of work; False if there was none."""
        if self._subscription is None and now >= self._open_at:
            self._open_subscription()
        self._was_busy = False
        # One after the other: what a replay says must not be passed on once another one was asked for.
        self._perform(self._follow(self._subscription, now))
        self._perform(self._follow_replay(now))
        self._perform(self.stream.tick(now))
        return self._was_busy

    def _follow(self, subscription: Subscription | None, now: float) -> Sequence[Action]:
        if subscription is None:
            return []
        # First the messages, then the connections: a message from before a disconnection can be dropped, but one from
        # after it must not be taken for one from before.
        messages = received(subscription.socket)
        events = subscription.events()
        self._was_busy = bool(messages or events)
        actions: list[Action] = []
        for event in events:
            if event.connected:
                self._connected_at = now
                actions += self.stream.connected(now)
            elif self._connected_at is not None:
                return [*actions, *self._disconnected(now)]
        for frames in messages:
            message = live_message(frames)
            if message is None:
                self.malformed_messages += 1
            else:
                actions += self.stream.message(*message, now)
        return actions

    def _disconnected(self, now: float) -> Sequence[Action]:
        """Gives the socket up, because its queue may hold messages of two connections."""
        connected_at = self._connected_at if self._connected_at is not None else now
        if now - connected_at >= CALM_SECONDS:
            self._reopen_after = _FIRST_REOPEN_SECONDS
        self._open_at = now + self._reopen_after
        self._reopen_after = min(2 * self._reopen_after, _LAST_REOPEN_SECONDS)
        self._close_replay()
        self._close_subscription()
        return self.stream.disconnected(now)

    def _follow_replay(self, now: float) -> Sequence[Action]:
        if self._replay is None:
            return []
        messages: list[tuple[int, bytes]] = []
        is_complete = False
        for frames in received(self._replay):
            message = replayed_message(frames)
            if message is None:
                self.malformed_messages += 1
            elif message[0] == _END_OF_REPLAY:
                is_complete = True
            else:
                messages.append(message)
            self._was_busy = True
        if is_complete:
            self._close_replay()
        return self.stream.replayed(messages, now, complete=is_complete) if messages or is_complete else []

    def _perform(self, actions: Sequence[Action]) -> None:
        if not actions:
            return
        self._was_busy = True
        requests = [action for action in actions if isinstance(action, RequestReplay)]
        if requests and self._replay_address is not None:
            # A socket of its own for each request: what is still on its way to the last one is void.
            self._close_replay()
            self._replay = replay_socket(self._shared, self._replay_address, self._heartbeat_seconds)
            self._replay.send_multipart([b"", requests[-1].start.to_bytes(8, "big")], zmq.NOBLOCK)
            self._ready.watch(self._replay)
        self._on_actions(actions)

    def _open_subscription(self) -> None:
        self._subscription = Subscription(self._shared, self._topic_filter, self._heartbeat_seconds)
        self._ready.watch(self._subscription.socket, self._subscription.monitor)
        self._subscription.socket.connect(self._address)

    def _close_subscription(self) -> None:
        self._connected_at = None
        if self._subscription is not None:
            self._ready.unwatch(self._subscription.socket, self._subscription.monitor)
            self._subscription.close()
            self._subscription = None

    def _close_replay(self) -> None:
        if self._replay is not None:
            self._ready.unwatch(self._replay)
            self._replay.close(linger=0)
            self._replay = None


@dataclass(frozen=True, slots=True)
class Publisher:
    """Who publishes, as a topic says it: ``kv@<host>:<port>@<model>`` or ``kv@<host>@<model>``.

    ``rank`` is the data-parallel rank that the batch tells: ranks number their batches independently under one
    topic.
    """

    host: str
    port: int | None
    model: str
    rank: int | None = None


def publisher_of(topic: bytes) -> Publisher | None:
    """Reads a topic; None if it is not of that form."""
    try:
        parts = topic.decode().split("@", 2)
    except UnicodeDecodeError:
        return None
    if len(parts) != 3 or not parts[1]:
        return None
    host, port = _host_and_port(parts[1])
    if not port:
        return Publisher(host, None, parts[2])
    return Publisher(host, int(port), parts[2]) if port.isascii() and port.isdigit() and len(port) <= 5 else None


def _host_and_port(address: str) -> tuple[str, str]:
    if address.startswith("["):
        host, _, port = address[1:].partition("]")
        return host, port.removeprefix(":")
    # More than one colon is an IPv6 address without a port.
    host, _, port = address.partition(":") if address.count(":") == 1 else (address, "", "")
    return host, port


class CentralSubscriber:
    """Follows every publisher that connects to ``endpoint`` (tcp://*:port), which is bound here.

    ``accepts`` says whether a publisher is one of ours; it is asked for each message of a publisher that is not
    followed yet. ``on_actions`` gets what a publisher's stream wants done. There are no replays in this direction: a
    stream begins where it joins, and a lost connection drops what its publishers told. At most ``MAX_PUBLISHERS`` are
    followed; messages of further ones are counted in ``refused_messages``, those of others that ``accepts`` does not
    know or whose topic tells nobody in ``unknown_messages``.
    """

    def __init__(
        self,
        shared: SharedSockets,
        endpoint: str,
        on_actions: Callable[[Publisher, Sequence[Action]], None],
        *,
        accepts: Callable[[Publisher], bool],
        topic_filter: str = "kv@",
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        self.streams: dict[Publisher, EventStream] = {}
        self.unknown_messages = 0
        self.refused_messages = 0
        self.malformed_messages = 0
        self._on_actions = on_actions
        self._accepts = accepts
        self._connections: dict[Publisher, int] = {}
        self._away: set[Publisher] = set()
        self._shared = shared
        self._subscription = Subscription(shared, topic_filter, heartbeat_seconds)
        try:
            self._subscription.socket.bind(endpoint)
        except zmq.ZMQError as error:
            self._subscription.close()
            raise OSError(error.errno, f"cannot receive KV events at {endpoint}: {error}") from error
        self.endpoint = self._subscription.socket.getsockopt_string(zmq.LAST_ENDPOINT)

    async def run(self) -> None:
        """Receives until it is cancelled; the socket is closed then."""
        ready = Readiness()
        sockets = (self._subscription.socket, self._subscription.monitor)
        ready.watch(*sockets)
        try:
            while True:
                async with self._shared.turns:
                    was_busy = self._take_turn(time.monotonic())
                    await asyncio.sleep(0)
                if not was_busy:
                    await ready.wait(min((self.streams[each].deadline for each in self._away), default=math.inf))
        finally:
            ready.unwatch(*sockets)
            self._subscription.close()

    def forget(self, publisher: Publisher) -> None:
        """Stops following a publisher; its next message is asked about again."""
        self.streams.pop(publisher, None)
        self._connections.pop(publisher, None)
        self._away.discard(publisher)

    def _take_turn(self, now: float) -> bool:
        messages = received_with_connections(self._subscription.socket)
        events = self._subscription.events()
        for frames, descriptor in messages:
            self._take(frames, descriptor, now)
        for event in events:
            if not event.connected:
                self._disconnected(event.descriptor, now)
        for publisher in self._away:
            self._perform(publisher, self.streams[publisher].tick(now))
        return bool(messages or events)

    def _take(self, frames: Sequence[bytes], descriptor: int, now: float) -> None:
        message = live_message(frames)
        if message is None:
            self.malformed_messages += 1
            return
        publisher = self._publisher(frames[0], message[1])
        if publisher is None:
            return
        stream = self.streams[publisher]
        if self._connections.get(publisher) != descriptor:
            self._connections[publisher] = descriptor
            self._away.discard(publisher)
            self._perform(publisher, stream.connected(now))
        self._perform(publisher, stream.message(*message, now))

    def _publisher(self, topic: bytes, payload: bytes) -> Publisher | None:
        """Who sent a message, if it is followed from now on."""
        publisher = publisher_of(topic)
        if publisher is None:
            self.unknown_messages += 1
            return None
        publisher = replace(publisher, rank=rank_of(payload))
        if publisher in self.streams:
            return publisher
        if not self._accepts(publisher):
            self.unknown_messages += 1
            return None
        if len(self.streams) >= MAX_PUBLISHERS:
            self.refused_messages += 1
            return None
        self.streams[publisher] = EventStream(can_replay=False, now=time.monotonic())
        return publisher

    def _disconnected(self, descriptor: int, now: float) -> None:
        for publisher in [each for each, used in self._connections.items() if used == descriptor]:
            del self._connections[publisher]
            self._away.add(publisher)
            self._perform(publisher, self.streams[publisher].disconnected(now))

    def _perform(self, publisher: Publisher, actions: Sequence[Action]) -> None:
        if actions:
            self._on_actions(publisher, actions)
