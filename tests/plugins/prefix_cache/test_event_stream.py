from collections import deque
from collections.abc import Iterable

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from turnout.plugins.prefix_cache.event_stream import (
    Action,
    Apply,
    EventStream,
    Position,
    RequestReplay,
    Reset,
    StreamState,
)
from turnout.plugins.prefix_cache.kv_events import AllCleared, BlocksRemoved, BlocksStored, EventBatch
from turnout.plugins.prefix_cache.message_buffer import MAX_BUFFERED

CLEAR: list[object] = ["AllBlocksCleared"]
JUNK = b"\xc1"


def store(*blocks: int) -> list[object]:
    return ["BlockStored", blocks, None, [], 0]


def remove(*blocks: int) -> list[object]:
    return ["BlockRemoved", blocks]


def batch(timestamp: float, *events: list[object]) -> bytes:
    return msgspec.msgpack.encode([timestamp, events])


class Publisher:
    """An engine's side: a ring of its last batches, and the blocks that it holds."""

    clock = 0.0

    def __init__(self, ring: int = 1_000) -> None:
        self.ring: deque[tuple[int, bytes]] = deque(maxlen=ring)
        self.held: set[int] = set()
        self.published = 0

    def publish(self, *events: list[object]) -> tuple[int, bytes]:
        Publisher.clock += 1.0
        payload = batch(Publisher.clock, *events)
        perform(decoded(payload), self.held)
        return self.send(payload)

    def send(self, payload: bytes) -> tuple[int, bytes]:
        message = (self.published, payload)
        self.ring.append(message)
        self.published += 1
        return message

    def replay(self, start: int) -> list[tuple[int, bytes]]:
        return [message for message in self.ring if message[0] >= start]


def decoded(payload: bytes) -> EventBatch:
    stream = EventStream(can_replay=False, now=0.0)
    stream.connected(0.0)
    (action,) = stream.message(0, payload, 0.0)
    assert isinstance(action, Apply)
    return action.batch


def perform(done: EventBatch, held: set[int]) -> None:
    for event in done.events:
        match event:
            case BlocksStored():
                held.update(event.hashes)
            case BlocksRemoved():
                held.difference_update(event.hashes)
            case AllCleared():
                held.clear()


class Consumer:
    """What an index does with the actions."""

    def __init__(self, stream: EventStream) -> None:
        self.stream = stream
        self.held: set[int] = set()
        self.request: int | None = None
        self.served: list[tuple[int, bytes]] | None = None
        self.resets: list[str] = []

    def do(self, actions: Iterable[Action]) -> None:
        for action in actions:
            match action:
                case Apply():
                    perform(action.batch, self.held)
                case Reset():
                    self.held.clear()
                    self.resets.append(action.reason)
                case RequestReplay():
                    self.request = action.start
                    self.served = None

    def take(self, messages: Iterable[tuple[int, bytes]], now: float = 1.0) -> None:
        for sequence, payload in messages:
            self.do(self.stream.message(sequence, payload, now))

    def answer(self, publisher: Publisher, now: float = 1.0) -> None:
        assert self.request is not None
        start, self.request = self.request, None
        self.do(self.stream.replayed(publisher.replay(start), now))


events = st.lists(
    st.one_of(
        st.integers(0, 2).map(store), st.integers(0, 2).map(store), st.integers(0, 2).map(remove), st.just(CLEAR)
    ),
    min_size=1,
    max_size=2,
)


class StreamBetweenPublisherAndConsumer(RuleBasedStateMachine):
    """Messages get lost or come twice, connections break, replays come late or not at all, publishers restart."""

    can_replay = True

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.consumer = Consumer(EventStream(can_replay=self.can_replay, now=0.0))
        self.wire: deque[tuple[int, bytes]] = deque()
        self.connected = False
        self.had_junk = False
        self.saved: tuple[Position | None, set[int]] = (None, set())

    @property
    def stream(self) -> EventStream:
        return self.consumer.stream

    @initialize(ring=st.sampled_from([3, 1_000]))
    def start(self, ring: int) -> None:
        self.ring = ring
        self.publisher = Publisher(ring)
        self.connect()

    def send(self, message: tuple[int, bytes]) -> None:
        if self.connected:
            self.wire.append(message)

    @rule(batches=st.lists(events, min_size=1, max_size=4))
    def publish(self, batches: list[list[list[object]]]) -> None:
        for batch_events in batches:
            self.send(self.publisher.publish(*batch_events))

    @rule(event=events)
    def publish_unreadably(self, event: list[list[object]]) -> None:
        sequence, payload = self.publisher.publish(*event)
        self.publisher.ring[-1] = (sequence, payload + JUNK)
        self.send(self.publisher.ring[-1])
        self.had_junk = True

    @precondition(lambda self: self.wire)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        del self.wire[data.draw(st.integers(0, len(self.wire) - 1))]

    @precondition(lambda self: self.wire)
    @rule(count=st.integers(1, 9), times=st.integers(1, 2))
    def deliver(self, count: int, times: int) -> None:
        for _ in range(min(count, len(self.wire))):
            message = self.wire.popleft()
            self.consumer.take([message] * times, self.now)

    @precondition(lambda self: not self.connected)
    @rule()
    def connect(self) -> None:
        self.connected = True
        self.consumer.do(self.stream.connected(self.now))

    @precondition(lambda self: self.connected)
    @rule(restarts=st.booleans())
    def disconnect(self, restarts: bool) -> None:
        late, self.consumer.served, self.consumer.request = self.consumer.served, None, None
        self.wire.clear()
        self.connected = False
        self.consumer.do(self.stream.disconnected(self.now))
        assert list(self.stream.replayed(late or [], self.now)) == []
        if restarts:
            self.publisher = Publisher(self.ring)
            self.had_junk = False

    @precondition(lambda self: self.consumer.request is not None)
    @rule(data=st.data(), loses_one=st.booleans())
    def serve_replay(self, data: st.DataObject, loses_one: bool) -> None:
        start, self.consumer.request = self.consumer.request, None
        assert start is not None
        served = self.consumer.served = self.publisher.replay(start)
        if loses_one and len(served) > 2:
            del served[data.draw(st.integers(1, len(served) - 1))]

    @precondition(lambda self: self.consumer.served is not None)
    @rule(chunk=st.integers(0, 3), ends=st.booleans())
    def deliver_replay(self, chunk: int, ends: bool) -> None:
        answer, self.consumer.served = self.consumer.served or [], None
        self.consumer.do(self.stream.replayed(answer[:chunk], self.now, complete=False))
        if self.consumer.request is None and ends:
            self.consumer.do(self.stream.replayed(answer[chunk:], self.now))

    @precondition(lambda self: self.consumer.request is not None)
    @rule()
    def fail_replay(self) -> None:
        self.consumer.request = None
        self.consumer.do(self.stream.replay_failed(self.now))

    @rule(seconds=st.sampled_from([0.1, 1.0, 11.0, 31.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.tick()

    def tick(self) -> None:
        self.consumer.do(self.stream.tick(self.now))

    @rule()
    def save(self) -> None:
        self.saved = (self.stream.position, set(self.consumer.held))

    @rule()
    def resume(self) -> None:
        """The consumer's process starts again from what it saved."""
        if self.connected:
            self.disconnect(False)
        position, held = self.saved
        self.consumer = Consumer(EventStream(can_replay=self.can_replay, now=self.now, resume=position))
        self.consumer.held = set(held) if position is not None else set()

    def teardown(self) -> None:
        if not hasattr(self, "publisher"):
            return
        if not self.connected:
            self.connect()
        self.settle()
        self.show_the_last_batch_to_the_stream()
        self.settle()
        assert self.stream.verified
        assert self.consumer.held <= self.publisher.held
        if self.stream.history_complete:
            assert self.consumer.held == self.publisher.held
        if self.can_replay and self.publisher.published <= self.ring and not self.had_junk:
            assert self.stream.history_complete

    def show_the_last_batch_to_the_stream(self) -> None:
        self.now += 31.0
        self.tick()

    def settle(self) -> None:
        for _ in range(1_000):
            if self.consumer.served is not None:
                self.deliver_replay(0, True)
            elif self.wire:
                self.deliver(1, 1)
            elif self.consumer.request is not None:
                self.consumer.answer(self.publisher, self.now)
            elif self.stream.state is StreamState.LIVE:
                return
            else:
                self.now = max(self.now, self.stream.deadline)
                self.tick()
        raise AssertionError(f"never at rest: {self.stream.state}")


class StreamWithoutReplays(StreamBetweenPublisherAndConsumer):
    can_replay = False

    def show_the_last_batch_to_the_stream(self) -> None:
        self.send(self.publisher.publish(store(0)))


TestStream = StreamBetweenPublisherAndConsumer.TestCase
TestStream.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestStreamWithoutReplays = StreamWithoutReplays.TestCase
TestStreamWithoutReplays.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


def following(can_replay: bool = True, resume: Position | None = None) -> Consumer:
    """A consumer whose stream has just been connected; its first replay is still to be answered."""
    consumer = Consumer(EventStream(can_replay=can_replay, now=0.0, resume=resume))
    consumer.do(consumer.stream.connected(0.0))
    return consumer


def live(publisher: Publisher) -> Consumer:
    consumer = following()
    consumer.answer(publisher, 0.0)
    assert consumer.stream.state is StreamState.LIVE
    return consumer


def test_a_stream_that_joins_late_asks_for_the_history_at_once() -> None:
    publisher = Publisher()
    publisher.publish(store(1, 2))
    publisher.publish(remove(1))
    consumer = following()
    assert (consumer.request, consumer.stream.state) == (0, StreamState.REPLAYING)
    consumer.answer(publisher)
    assert consumer.held == {2}
    assert consumer.stream.state is StreamState.LIVE
    assert consumer.stream.history_complete
    assert consumer.resets == []


def test_history_that_the_ring_has_lost_is_noted() -> None:
    publisher = Publisher(ring=2)
    for block in range(4):
        publisher.publish(store(block))
    consumer = live(publisher)
    assert consumer.held == {2, 3}
    assert not consumer.stream.history_complete


def test_live_messages_wait_for_the_replay_and_are_applied_once() -> None:
    publisher = Publisher()
    messages = [publisher.publish(*events) for events in ([store(1)], [remove(1)], [store(2)])]
    consumer = following()
    consumer.take(messages[1:])
    assert consumer.held == set()
    consumer.answer(publisher)
    consumer.do(consumer.stream.tick(1.0))
    assert consumer.held == {2}
    assert (consumer.stream.counters.batches, consumer.stream.counters.duplicates) == (3, 2)
    assert consumer.stream.state is StreamState.LIVE


def test_a_gap_is_filled_from_the_last_batch_on() -> None:
    publisher = Publisher()
    publisher.publish(store(1, 2))
    consumer = live(publisher)
    publisher.publish(remove(1))
    consumer.take([publisher.publish(store(3))])
    assert (consumer.request, consumer.stream.state) == (0, StreamState.REPLAYING)
    consumer.answer(publisher)
    assert consumer.held == {2, 3}
    assert consumer.resets == []
    assert consumer.stream.counters.gaps == 1


def test_the_same_message_twice_changes_nothing() -> None:
    publisher = Publisher()
    consumer = live(publisher)
    message = publisher.publish(store(1))
    consumer.take([message, message])
    assert consumer.held == {1}
    assert consumer.resets == []
    assert consumer.stream.counters.duplicates == 1


def test_a_lower_number_is_a_restart() -> None:
    publisher = Publisher()
    consumer = live(publisher)
    consumer.take([publisher.publish(store(1)), publisher.publish(store(2))])
    restarted = Publisher()
    consumer.take([restarted.publish(store(3))])
    assert consumer.held == set()
    assert consumer.resets == ["the publisher restarted"]
    consumer.do(consumer.stream.tick(5.0))
    consumer.answer(restarted)
    assert consumer.held == {3}
    assert consumer.stream.counters.restarts == 1


def test_a_connection_that_comes_back_to_the_same_incarnation_keeps_the_blocks() -> None:
    publisher = Publisher()
    publisher.publish(store(1))
    consumer = live(publisher)
    consumer.do(consumer.stream.disconnected(5.0))
    assert consumer.stream.state is StreamState.CONNECTING
    assert not consumer.stream.verified
    publisher.publish(store(2))
    consumer.do(consumer.stream.connected(6.0))
    consumer.answer(publisher, 6.0)
    assert consumer.held == {1, 2}
    assert consumer.resets == []
    assert consumer.stream.verified


@pytest.mark.parametrize(
    ("events_of_the_new_one", "reason"),
    [
        pytest.param([], "the publisher restarted", id="which has published nothing"),
        pytest.param([[store(1)]], "the publisher restarted", id="which has published as much"),
        pytest.param([[store(1)], [store(2)], [CLEAR]], "the publisher restarted", id="which has published more"),
    ],
)
def test_a_connection_to_another_incarnation_drops_the_blocks(
    events_of_the_new_one: list[list[list[object]]], reason: str
) -> None:
    old = Publisher()
    old.publish(store(7))
    consumer = live(old)
    consumer.do(consumer.stream.disconnected(5.0))
    new = Publisher()
    for events in events_of_the_new_one:
        new.publish(*events)
    consumer.do(consumer.stream.connected(6.0))
    consumer.answer(new, 6.0)
    assert consumer.held == set()
    assert consumer.resets == [reason]
    consumer.do(consumer.stream.tick(7.0))
    consumer.answer(new, 7.0)
    assert consumer.held == new.held
    assert consumer.stream.state is StreamState.LIVE


def test_a_ring_that_moved_on_during_a_lost_connection_drops_the_blocks_and_goes_on() -> None:
    publisher = Publisher(ring=2)
    publisher.publish(store(1))
    consumer = live(publisher)
    consumer.do(consumer.stream.disconnected(5.0))
    for block in range(2, 6):
        publisher.publish(store(block))
    consumer.do(consumer.stream.connected(6.0))
    consumer.answer(publisher, 6.0)
    assert consumer.held == {4, 5}
    assert consumer.resets == ["the publisher no longer has the last batch"]
    assert not consumer.stream.history_complete
    assert consumer.stream.state is StreamState.LIVE


def test_a_publisher_that_stays_away_is_lost() -> None:
    publisher = Publisher()
    publisher.publish(store(1))
    consumer = live(publisher)
    consumer.do(consumer.stream.disconnected(5.0))
    assert consumer.stream.deadline == 15.0
    consumer.do(consumer.stream.tick(14.9))
    assert (consumer.stream.state, consumer.held) == (StreamState.CONNECTING, {1})
    consumer.do(consumer.stream.tick(15.0))
    assert (consumer.stream.state, consumer.held) == (StreamState.LOST, set())
    assert consumer.stream.reason == "no connection"
    assert consumer.stream.deadline == float("inf")


def test_a_publisher_that_restarts_every_second_never_leaves_a_block_behind() -> None:
    consumer = Consumer(EventStream(can_replay=True, now=0.0))
    asked = 0
    for second in range(600):
        publisher = Publisher()
        consumer.do(consumer.stream.connected(float(second)))
        for block in range(3):
            consumer.take([publisher.publish(store(second * 10 + block))], second + 0.1)
        consumer.do(consumer.stream.tick(second + 0.5))
        if consumer.request is not None:
            asked += 1
            consumer.answer(publisher, second + 0.5)
        assert consumer.held in (set(), publisher.held)
        consumer.do(consumer.stream.disconnected(second + 0.9))
        consumer.request = None
    # Every 30 seconds once the interval has grown, instead of every second.
    assert 20 <= asked <= 30


def test_without_replays_a_stream_starts_where_it_joins() -> None:
    publisher = Publisher()
    publisher.publish(store(1))
    consumer = following(can_replay=False)
    consumer.take([publisher.publish(store(2)), publisher.publish(store(3))])
    assert consumer.held == {2, 3}
    assert consumer.stream.state is StreamState.LIVE
    assert not consumer.stream.history_complete


def test_without_replays_a_gap_drops_what_was_before_it() -> None:
    publisher = Publisher()
    consumer = following(can_replay=False)
    consumer.take([publisher.publish(store(1))])
    publisher.publish(remove(1))
    consumer.take([publisher.publish(store(2))])
    assert consumer.held == {2}
    assert consumer.resets == ["batches were lost"]


def test_without_replays_a_lost_connection_drops_the_blocks() -> None:
    publisher = Publisher()
    consumer = following(can_replay=False)
    consumer.take([publisher.publish(store(1))])
    consumer.do(consumer.stream.disconnected(1.0))
    assert consumer.held == set()
    consumer.do(consumer.stream.connected(2.0))
    consumer.take([publisher.publish(store(2))], 2.0)
    assert consumer.held == {2}


def test_a_batch_that_cannot_be_read_drops_the_blocks_and_the_stream_goes_on() -> None:
    publisher = Publisher()
    consumer = live(publisher)
    consumer.take([publisher.publish(store(1)), publisher.send(JUNK), publisher.publish(store(2))])
    assert consumer.held == {2}
    assert consumer.resets == ["a batch that cannot be read (shape)"]
    assert consumer.stream.counters.undecodable == {"shape": 1}
    assert consumer.stream.state is StreamState.LIVE
    assert not consumer.stream.history_complete


def test_a_publisher_of_unreadable_batches_alone_resets_nothing() -> None:
    publisher = Publisher()
    consumer = live(publisher)
    consumer.take([publisher.send(JUNK) for _ in range(100)])
    assert consumer.resets == []
    assert consumer.stream.counters.undecodable == {"shape": 100}
    assert consumer.stream.counters.replays == 1


def test_events_with_unknown_tags_are_counted() -> None:
    publisher = Publisher()
    consumer = live(publisher)
    consumer.take([publisher.publish(["BlockMoved", 1], store(1))])
    assert consumer.held == {1}
    assert consumer.stream.counters.unknown_events == {"BlockMoved": 1}


def test_a_snapshot_of_the_same_incarnation_is_trusted_after_it_was_verified() -> None:
    publisher = Publisher()
    publisher.publish(store(1))
    position = live(publisher).stream.position
    publisher.publish(store(2))
    consumer = following(resume=position)
    consumer.held = {1}
    assert (consumer.stream.verified, consumer.request) == (False, 0)
    consumer.answer(publisher)
    assert consumer.held == {1, 2}
    assert consumer.stream.verified is True
    assert consumer.stream.counters.batches == 1


@pytest.mark.parametrize("can_replay", [True, False], ids=["with replays", "without replays"])
def test_a_snapshot_of_another_incarnation_is_dropped(can_replay: bool) -> None:
    old, new = Publisher(), Publisher()
    old.publish(store(1))
    new.publish(store(2))
    consumer = Consumer(EventStream(can_replay=can_replay, now=0.0, resume=live(old).stream.position))
    consumer.held = {1}
    consumer.do(consumer.stream.connected(0.0))
    if consumer.request is not None:
        consumer.answer(new)
    assert consumer.held == set()
    assert len(consumer.resets) == 1


def test_too_many_messages_during_a_replay_start_it_over() -> None:
    publisher = Publisher(ring=10_000)
    consumer = following()
    consumer.take(publisher.publish(store(block)) for block in range(MAX_BUFFERED + 1))
    assert consumer.stream.counters.overflows == 1
    consumer.do(consumer.stream.tick(2.0))
    assert consumer.request == 0
    consumer.answer(publisher)
    assert consumer.held == set(range(4_097))


def test_too_many_bytes_during_a_replay_start_it_over() -> None:
    consumer = following()
    consumer.take((number, bytes(4 * 1024 * 1024)) for number in range(5))
    assert consumer.stream.counters.overflows == 1


def test_what_was_buffered_is_applied_in_small_portions() -> None:
    publisher = Publisher()
    consumer = following()
    consumer.do(consumer.stream.replayed([], 1.0, complete=False))
    messages = [publisher.publish(store(block)) for block in range(20)]
    consumer.take(messages)
    consumer.do(consumer.stream.replayed([], 1.0))
    assert (len(consumer.held), consumer.stream.state) == (16, StreamState.REPLAYING)
    assert consumer.stream.deadline < 1.0
    consumer.do(consumer.stream.tick(1.0))
    assert (len(consumer.held), consumer.stream.state) == (20, StreamState.LIVE)


def test_a_replay_with_a_hole_is_asked_for_again_from_the_hole() -> None:
    publisher = Publisher()
    for block in range(4):
        publisher.publish(store(block))
    consumer = following()
    replay = publisher.replay(0)
    consumer.do(consumer.stream.replayed([*replay[:2], replay[3]], 1.0))
    assert consumer.held == {0, 1}
    assert consumer.request == 1
    consumer.answer(publisher)
    assert consumer.held == {0, 1, 2, 3}
    assert consumer.resets == []


def test_a_replay_whose_end_got_lost_is_continued() -> None:
    publisher = Publisher()
    for block in range(4):
        publisher.publish(store(block))
    consumer = following()
    consumer.do(consumer.stream.replayed(publisher.replay(0)[:3], 1.0, complete=False))
    assert consumer.stream.deadline == 3.0
    consumer.do(consumer.stream.tick(3.0))
    assert (consumer.held, consumer.request) == ({0, 1, 2}, 2)
    consumer.answer(publisher, 3.0)
    assert consumer.held == {0, 1, 2, 3}
    assert consumer.resets == []
    assert consumer.stream.state is StreamState.LIVE


def test_a_replay_that_only_repeats_the_last_batch_and_stalls_has_failed() -> None:
    publisher = Publisher()
    publisher.publish(store(1))
    publisher.publish(store(2))
    consumer = live(publisher)
    consumer.do(consumer.stream.disconnected(1.0))
    consumer.do(consumer.stream.connected(2.0))
    consumer.do(consumer.stream.replayed(publisher.replay(1), 2.0, complete=False))
    consumer.do(consumer.stream.tick(4.0))
    assert consumer.resets == ["a replay failed"]
    assert consumer.stream.counters.replay_failures == 1


def test_after_three_failed_replays_the_stream_goes_on_without() -> None:
    publisher = Publisher()
    publisher.publish(store(1))
    consumer = following()
    now = 0.0
    while consumer.stream.state is not StreamState.LIVE:
        now = consumer.stream.deadline
        consumer.do(consumer.stream.tick(now))
    assert now == 30.0
    assert consumer.stream.counters.replay_failures == 3
    consumer.take([publisher.publish(store(2))], now)
    assert consumer.held == {2}
    assert not consumer.stream.history_complete


def test_history_is_fetched_when_replays_work_again() -> None:
    publisher = Publisher()
    publisher.publish(store(1))
    consumer = following()
    for now in (10.0, 20.0, 30.0):
        consumer.do(consumer.stream.tick(now))
    consumer.take([publisher.publish(store(2))], 45.0)
    assert consumer.held == {2}
    consumer.do(consumer.stream.tick(consumer.stream.deadline))
    consumer.answer(publisher, 51.0)
    assert consumer.resets == ["replays work again"]
    consumer.do(consumer.stream.tick(90.0))
    consumer.answer(publisher, 90.0)
    assert consumer.held == {1, 2}
    assert consumer.stream.history_complete


def test_a_quiet_publisher_is_asked_for_what_was_missed() -> None:
    publisher = Publisher()
    publisher.publish(store(1))
    consumer = live(publisher)
    publisher.publish(CLEAR)
    assert list(consumer.stream.tick(29.9)) == []
    consumer.do(consumer.stream.tick(30.0))
    assert (consumer.request, consumer.stream.state) == (0, StreamState.LIVE)
    consumer.answer(publisher, 30.0)
    assert consumer.held == set()
    assert consumer.stream.deadline == 60.0


def test_a_question_to_a_quiet_publisher_that_is_not_answered_drops_nothing() -> None:
    publisher = Publisher()
    publisher.publish(store(1))
    consumer = live(publisher)
    consumer.do(consumer.stream.tick(30.0))
    consumer.do(consumer.stream.tick(40.0))
    assert consumer.held == {1}
    assert consumer.stream.state is StreamState.LIVE


def test_replays_are_asked_for_at_growing_intervals_until_the_stream_is_calm() -> None:
    publisher = Publisher()
    consumer = live(publisher)
    asked = []
    for gap_at in (0.1, 0.3, 0.8, 100.0):
        publisher.publish(store(1))
        consumer.take([publisher.publish(store(2))], gap_at)
        now = gap_at
        if consumer.request is None:
            now = consumer.stream.deadline
            consumer.do(consumer.stream.tick(now))
        asked.append(now)
        consumer.answer(publisher, now)
    assert asked == [0.25, 0.75, 1.75, 100.0]


def test_what_nobody_asked_for_is_ignored() -> None:
    publisher = Publisher()
    consumer = live(publisher)
    publisher.publish(store(1))
    assert list(consumer.stream.replayed(publisher.replay(0), 1.0)) == []
    assert list(consumer.stream.replay_failed(1.0)) == []
    assert list(consumer.stream.disconnected(1.0)) == []
    assert list(consumer.stream.disconnected(1.0)) == []


def test_a_message_without_a_connection_stands_for_one() -> None:
    publisher = Publisher()
    consumer = Consumer(EventStream(can_replay=False, now=0.0))
    consumer.take([publisher.publish(store(1))])
    assert (consumer.held, consumer.stream.state) == ({1}, StreamState.LIVE)
