"""The latest events of one kind that plugins told, for whoever listens.

All listeners read one ring, each from its own place, so a slow one costs nothing but its place: what was pushed out of
the ring before it came is lost to it, and it is told how much that was. Everything runs on one event loop.
"""

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import islice

import msgspec

from turnout.epp.observe.labels import printable
from turnout.framework import Event, EventSource, ExtensionPoint, Figure, PluginError, plugin_boundary

CAPACITY = 1_000
"""Events that are kept; each takes at most about 4 KB, and 500 bytes as a rule."""

MAX_LISTENERS = 16
_BATCH = 100


class TooManyListenersError(Exception):
    """As many listen as may."""


@dataclass(frozen=True, slots=True)
class KeptEvent:
    """``id`` is unique over restarts of the process; ``data`` is a JSON document in one line."""

    id: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """The next events in their order, after ``dropped`` ones that were not read in time."""

    dropped: int
    events: Sequence[KeptEvent]


class EventHub:
    """Keeps the latest ``capacity`` events of one kind.

    ``run_id`` tells the ids of this process from those of an earlier one; by default it is drawn. ``wall_clock`` gives
    seconds since 1970. Plugins that cannot be asked are reported to ``failed``.
    """

    def __init__(
        self,
        kind: str,
        failed: Callable[[PluginError], None],
        *,
        capacity: int = CAPACITY,
        max_listeners: int = MAX_LISTENERS,
        run_id: str | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.kind = kind
        self._failed = failed
        self._max_listeners = max_listeners
        self._run_id = secrets.token_hex(4) if run_id is None else run_id
        self._wall_clock = wall_clock
        self._kept: deque[KeptEvent] = deque(maxlen=capacity)
        self._told = 0
        self._listeners: set[Listener] = set()
        self._is_closed = False

    def follow(self, plugins: Mapping[str, object]) -> None:
        """Hears those of the plugins that are sources of events, and none of the others any less."""
        for name, plugin in plugins.items():
            if isinstance(plugin, EventSource):
                try:
                    with plugin_boundary(name, ExtensionPoint.EVENT_SOURCE):
                        plugin.announce_to(partial(self._hear, name))
                except PluginError as error:
                    self._failed(error)

    @contextmanager
    def listen(self, last_id: str | None = None) -> Iterator["Listener"]:
        """Hears what comes after the event with this id; after an id of another run, all that is kept.

        Without an id it hears what comes from now on.

        Raises:
            TooManyListenersError: as many listen as may.
        """
        if len(self._listeners) >= self._max_listeners:
            raise TooManyListenersError(f"{self._max_listeners} listen already")
        listener = Listener(self, self._told if last_id is None else self._place_of(last_id))
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def close(self) -> None:
        """Ends all listening, once what is kept was heard."""
        self._is_closed = True
        self._wake()

    def _hear(self, plugin: str, event: Event) -> None:
        if event.kind != self.kind:
            return
        self._told += 1
        data = {name: _shown(value) for name, value in event.data.items()}
        when = {"at": event.at, "time": datetime.fromtimestamp(self._wall_clock(), UTC).isoformat()}
        document = msgspec.json.encode({**data, "plugin": printable(plugin), **when})
        self._kept.append(KeptEvent(f"{self._run_id}-{self._told}", document))
        self._wake()

    def _wake(self) -> None:
        for listener in self._listeners:
            listener.news.set()

    def _place_of(self, event_id: str) -> int:
        """How many events had been told when this one was."""
        run, _, number = event_id.rpartition("-")
        if run != self._run_id or not (number.isascii() and number.isdecimal() and len(number) <= 15):
            return self._told - len(self._kept)
        return min(int(number), self._told)

    def after(self, place: int) -> Batch | None:
        """What was told after so many events; None if that is nothing yet."""
        if place >= self._told:
            return None
        first = self._told - len(self._kept)
        start = max(0, place - first)
        return Batch(max(0, first - place), tuple(islice(self._kept, start, start + _BATCH)))

    @property
    def listeners(self) -> int:
        """How many listen."""
        return len(self._listeners)

    @property
    def is_closed(self) -> bool:
        """Whether nothing will be told any more."""
        return self._is_closed


class Listener:
    """One reader of a hub; made by ``EventHub.listen``."""

    def __init__(self, hub: EventHub, place: int) -> None:
        self._hub = hub
        self._place = place
        self.news = asyncio.Event()

    async def next(self) -> Batch | None:
        """At least one event, as soon as there is one; None when the hub is closed. May be cancelled."""
        while (batch := self._hub.after(self._place)) is None:
            if self._hub.is_closed:
                return None
            self.news.clear()
            await self.news.wait()
        self._place += batch.dropped + len(batch.events)
        return batch


def _shown(value: Figure) -> Figure:
    return printable(value) if isinstance(value, str) else value
