"""Follows the event stream of one publisher, without sockets: what arrives goes in, what to do comes out.

Theory of operation. A publisher numbers its batches from 0 for as long as its process lives; that is one
incarnation. Two incarnations cannot be told apart by numbers, but they can by content: batches carry their time, so
the batch of some number is not the same twice. The stream therefore remembers checksums of the last batches it
applied. Whenever it cannot be sure that it still follows the same incarnation without a gap (after a connection was
lost, after a number was skipped, at the start from a snapshot), it asks for a replay that begins with the last applied
batch. If that comes back unchanged, nothing happened to the incarnation and what follows it fills the gap. If
not, everything that was told before is dropped, because a block that is missing costs a computation, and a block
that is only believed to be there costs a wrong decision each time.

A replay answers from a ring of recent batches. Where the ring has lost the beginning, the stream goes on with what is
left and says so in ``history_complete``; blocks stored before are then unknown, never wrong. A batch that was lost with
none after it shows no gap, so a quiet publisher is asked for its last batch now and then. Without replays, everything
that would have to be verified is dropped instead.

Bounds: live messages that wait for a replay are bounded by ``MessageBuffer``, and where they do not fit, everything
starts over; replays are asked for at growing intervals until the stream has been calm for ``CALM_SECONDS``.
"""

import enum
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from turnout.plugins.prefix_cache.checksums import Position, RecentBatches
from turnout.plugins.prefix_cache.kv_events import EventBatch, UndecodableError, decode_batch
from turnout.plugins.prefix_cache.message_buffer import MessageBuffer
from turnout.plugins.prefix_cache.stream_counters import StreamCounters

__all__ = ["Action", "Apply", "EventStream", "Position", "RequestReplay", "Reset", "StreamCounters", "StreamState"]

APPLIED_AT_ONCE = 16
"""Buffered batches that one call applies; the stream then wants to be called again at once."""

LOST_AFTER_SECONDS = 10.0
"""A publisher that is not connected for so long has lost its blocks as far as the stream is concerned."""

REPLAY_TIMEOUT_SECONDS = 10.0
"""A replay fails when nothing of it has arrived for so long."""

REPLAY_STALL_SECONDS = 2.0
"""A replay that has begun and then says nothing for so long has lost its end on the way."""

REPLAY_ATTEMPTS = 3
"""So many failures in a row, and the stream goes on without replays until the next connection."""

FIRST_REPLAY_INTERVAL_SECONDS = 0.25
LAST_REPLAY_INTERVAL_SECONDS = 30.0
CALM_SECONDS = 10.0
PROBE_AFTER_SECONDS = 30.0
"""A publisher that was silent for so long is asked whether anything was missed."""


class StreamState(enum.StrEnum):
    """CONNECTING and LOST are without a connection, LOST for longer; REPLAYING catches up; LIVE is up to date."""

    CONNECTING = "connecting"
    LIVE = "live"
    REPLAYING = "replaying"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Apply:
    """The batch is the next one; its events happened in their order."""

    batch: EventBatch


@dataclass(frozen=True, slots=True)
class Reset:
    """Everything that this publisher told before must be dropped."""

    reason: str


@dataclass(frozen=True, slots=True)
class RequestReplay:
    """Ask for every batch from ``start`` on. An earlier request is void: its answers must not be passed on."""

    start: int


Action = Apply | Reset | RequestReplay


class _Phase(enum.Enum):
    OFFLINE = enum.auto()
    WAITING = enum.auto()  # for the time at which a replay may be asked for
    REPLAYING = enum.auto()
    LIVE = enum.auto()


@dataclass(slots=True)
class _Request:
    start: int
    answered: bool = False
    has_hole: bool = False


class EventStream:
    """The state of one publisher's stream. ``now`` is in seconds of one clock that never goes back.

    Every method returns what to do, in order. ``reason`` is that of the last ``Reset``, "" before. ``verified`` is
    False while it is not known whether what was told before is still true: after a connection was lost, and
    after a start from ``resume``. ``history_complete`` is False if batches from before the first one that was applied
    may have told of blocks that are still there.
    """

    def __init__(self, *, can_replay: bool, now: float, resume: Position | None = None) -> None:
        self.counters = StreamCounters()
        self.reason = ""
        self.verified = resume is None
        self.history_complete = resume is None or resume.history_complete
        self._can_replay = can_replay
        self._phase = _Phase.OFFLINE
        self._lost = False
        self._since = now
        self._heard_at = now
        # Whether anything was told that a Reset would have to drop.
        self._holding = resume is not None
        self._applied = -1 if resume is None else resume.sequence
        # False where the next message is taken for the first one, whatever its number.
        self._knows_next = True
        self._recent = RecentBatches()
        self._buffered = MessageBuffer()
        self._request: _Request | None = None
        self._progress_at = now
        self._failures = 0
        self._replay_allowed_at = -math.inf
        self._replay_interval = FIRST_REPLAY_INTERVAL_SECONDS
        if resume is not None:
            self._recent.restore(resume)

    @property
    def state(self) -> StreamState:
        """Where the stream stands. Only LIVE means that what was told is what the publisher holds."""
        if self._phase is _Phase.LIVE and not self._buffered:
            return StreamState.LIVE
        if self._phase is _Phase.OFFLINE:
            return StreamState.LOST if self._lost else StreamState.CONNECTING
        return StreamState.REPLAYING

    @property
    def position(self) -> Position | None:
        """The last applied batch; None if there is none."""
        last = self._recent.last
        return last and last._replace(history_complete=self.history_complete)

    @property
    def deadline(self) -> float:
        """When to call ``tick`` if nothing happens before; infinite for never, in the past for at once."""
        if self._phase is _Phase.OFFLINE:
            return math.inf if self._lost else self._since + LOST_AFTER_SECONDS
        if self._phase is _Phase.WAITING:
            return self._replay_allowed_at
        if self._phase is _Phase.LIVE and self._buffered:
            return -math.inf
        if self._request is not None:
            return self._progress_at + (REPLAY_STALL_SECONDS if self._request.answered else REPLAY_TIMEOUT_SECONDS)
        if not self._can_replay:
            return math.inf
        return (self._heard_at if self._replays_work else self._progress_at) + PROBE_AFTER_SECONDS

    @property
    def _replays_work(self) -> bool:
        return self._can_replay and self._failures < REPLAY_ATTEMPTS

    def connected(self, now: float) -> Sequence[Action]:
        """A connection is there, a new one also if one was there before."""
        actions = self._lose_connection(now) if self._phase is not _Phase.OFFLINE else []
        self._failures = 0
        self._lost = False
        self._heard_at = now
        if self._can_replay:
            return [*actions, *self._want_replay(now)]
        actions += self._reset("a connection that cannot be verified")
        self._take_next_as_first()
        self._enter(_Phase.LIVE, now)
        return actions

    def disconnected(self, now: float) -> Sequence[Action]:
        """The connection is gone. What was told is kept for ``LOST_AFTER_SECONDS`` if it can be verified then."""
        return self._lose_connection(now) if self._phase is not _Phase.OFFLINE else []

    def message(self, sequence: int, payload: bytes, now: float) -> Sequence[Action]:
        """A live message. Without a connection it stands for one."""
        actions = list(self.connected(now)) if self._phase is _Phase.OFFLINE else []
        self._heard_at = now
        if self._phase is _Phase.LIVE and not self._buffered:
            return [*actions, *self._take(sequence, payload, now)]
        # A replay that is still to be asked for will have the message.
        if self._phase is not _Phase.WAITING:
            actions += self._buffer(sequence, payload, now)
        return [*actions, *self._apply_buffered(now)]

    def replayed(self, messages: Iterable[tuple[int, bytes]], now: float, *, complete: bool = True) -> Sequence[Action]:
        """The next messages of the replay that was asked for last, the final ones if ``complete``."""
        request = self._request
        if request is None:
            return []
        self._progress_at = now
        actions: list[Action] = []
        for sequence, payload in messages:
            actions += self._take_replayed(request, sequence, payload, now)
            if self._request is not request:
                return actions
        return [*actions, *self._end_replay(request, now)] if complete else actions

    def replay_failed(self, now: float) -> Sequence[Action]:
        """The replay that was asked for last will not come, or not to its end."""
        if self._request is None:
            return []
        self._request = None
        self._heard_at = now
        self.counters.replay_failures += 1
        if self._phase is _Phase.LIVE:
            return []
        self._failures += 1
        if self._failures < REPLAY_ATTEMPTS:
            return self._start_over("a replay failed", now)
        actions = self._reset("a replay failed")
        self._take_next_as_first()
        self.history_complete = False
        self._enter(_Phase.LIVE, now)
        return [*actions, *self._apply_buffered(now)]

    def tick(self, now: float) -> Sequence[Action]:
        """Does what is due; see ``deadline``."""
        if now < self.deadline:
            return []
        if self._phase is _Phase.OFFLINE:
            self._lost = True
            return self._drop("no connection")
        if self._phase is _Phase.LIVE and self._buffered:
            return self._apply_buffered(now)
        if self._request is not None:
            return self._give_up(self._request, now)
        return self._want_replay(now) if self._phase is _Phase.WAITING else self._ask(now)

    def _lose_connection(self, now: float) -> list[Action]:
        self._enter(_Phase.OFFLINE, now)
        self._request = None
        self._buffered.clear()
        if self._can_replay and self.verified and self._knows_next:
            self.verified = not self._holding
            return []
        return self._drop("a connection that cannot be verified")

    def _enter(self, phase: _Phase, now: float) -> None:
        if self._phase is _Phase.LIVE and now - self._since >= CALM_SECONDS:
            self._replay_interval = FIRST_REPLAY_INTERVAL_SECONDS
        self._phase = phase
        self._since = now

    def _reset(self, reason: str) -> list[Action]:
        self.reason = reason
        if not self._holding:
            return []
        self._holding = False
        self.counters.resets += 1
        return [Reset(reason)]

    def _forget(self) -> None:
        """Begins before the first batch of an incarnation."""
        self._applied = -1
        self._knows_next = True
        self._recent.clear()
        self.verified = True
        self.history_complete = True

    def _take_next_as_first(self) -> None:
        self._forget()
        self._knows_next = False

    def _start_at(self, sequence: int) -> None:
        self._forget()
        self._applied = sequence - 1
        self.history_complete = sequence == 0

    def _start_over(self, reason: str, now: float) -> list[Action]:
        return [*self._drop(reason), *self._want_replay(now)]

    def _drop(self, reason: str) -> list[Action]:
        self._forget()
        return self._reset(reason)

    def _want_replay(self, now: float) -> list[Action]:
        # The replay will have what is buffered: all of it was published before.
        self._buffered.clear()
        self._request = None
        if now < self._replay_allowed_at:
            self._enter(_Phase.WAITING, now)
            return [] if self.verified else self._drop("a connection that cannot be verified soon")
        self._replay_allowed_at = now + self._replay_interval
        self._replay_interval = min(2 * self._replay_interval, LAST_REPLAY_INTERVAL_SECONDS)
        self._enter(_Phase.REPLAYING, now)
        return self._ask(now)

    def _ask(self, now: float) -> list[Action]:
        self._request = _Request(max(0, self._applied))
        self._progress_at = now
        self.counters.replays += 1
        return [RequestReplay(self._request.start)]

    def _take_replayed(self, request: _Request, sequence: int, payload: bytes, now: float) -> list[Action]:
        if sequence < request.start or request.has_hole:
            return []
        is_first, request.answered = not request.answered, True
        if is_first and self._recent.has(sequence, payload):
            self.verified = True
            return []
        if self._phase is _Phase.LIVE:
            return self._take(sequence, payload, now)
        if is_first and sequence > request.start:
            actions = self._reset("the publisher no longer has the last batch") if self._applied >= 0 else []
            self._start_at(sequence)
            return [*actions, *self._apply(sequence, payload)]
        if sequence > self._applied + 1:
            request.has_hole = True
            return []
        return self._take(sequence, payload, now)

    def _give_up(self, request: _Request, now: float) -> Sequence[Action]:
        if self._phase is _Phase.LIVE or self._applied <= request.start:
            return self.replay_failed(now)
        # Publishers drop replies that are not taken off them quickly enough, the last one too.
        request.has_hole = True
        return self._end_replay(request, now)

    def _end_replay(self, request: _Request, now: float) -> list[Action]:
        self._request = None
        self._heard_at = now
        if not request.answered and self._applied >= 0:
            self.counters.restarts += 1
            return self._start_over("the publisher restarted", now)
        if request.has_hole:
            return self._want_replay(now)
        missed_history = not self._replays_work and not self.history_complete
        self._failures = 0
        if missed_history:
            return self._start_over("replays work again", now)
        self.verified = True
        if self._phase is not _Phase.LIVE:
            self._enter(_Phase.LIVE, now)
        return self._apply_buffered(now)

    def _take(self, sequence: int, payload: bytes, now: float) -> list[Action]:
        """Handles a message that no replay has to come before."""
        if not self._knows_next:
            self._start_at(sequence)
        if sequence == self._applied + 1:
            return self._apply(sequence, payload)
        if sequence > self._applied:
            self.counters.gaps += 1
            return self._recover("batches were lost", sequence, payload, now, keep=True)
        if self._recent.has(sequence, payload):
            self.counters.duplicates += 1
            return []
        self.counters.restarts += 1
        return self._recover("the publisher restarted", sequence, payload, now, keep=False)

    def _recover(self, reason: str, sequence: int, payload: bytes, now: float, *, keep: bool) -> list[Action]:
        if self._replays_work:
            return self._want_replay(now) if keep else self._start_over(reason, now)
        actions = self._reset(reason)
        self._start_at(sequence)
        return [*actions, *self._apply(sequence, payload)]

    def _apply(self, sequence: int, payload: bytes) -> list[Action]:
        self._applied = sequence
        self._recent.add(sequence, payload)
        self.counters.batches += 1
        try:
            batch = decode_batch(payload)
        except UndecodableError as error:
            self.counters.count_undecodable(error.cause)
            self.history_complete = False
            # It may have removed blocks.
            return self._reset(f"a batch that cannot be read ({error.cause})")
        self.counters.count_unknown(batch.unknown)
        self._holding = self._holding or bool(batch.events)
        return [Apply(batch)]

    def _buffer(self, sequence: int, payload: bytes, now: float) -> list[Action]:
        if self._buffered.add(sequence, payload):
            return []
        self.counters.overflows += 1
        return self._start_over("too many batches arrived during a replay", now)

    def _apply_buffered(self, now: float) -> list[Action]:
        actions: list[Action] = []
        for _ in range(min(APPLIED_AT_ONCE, len(self._buffered))):
            if self._phase is not _Phase.LIVE or not self._buffered:
                break
            sequence, payload = self._buffered.pop()
            actions += self._take(sequence, payload, now)
        return actions
