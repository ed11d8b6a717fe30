"""How many sessions are going on, and where."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

MAX_SESSIONS = 100_000


@dataclass(slots=True)
class _Session:
    endpoint: str
    used_at: float
    on_the_way: int


class Sessions:
    """A session goes on while a request of it is on its way, and ``idle_seconds`` longer.

    It counts for the endpoint that got its latest request. At most 100,000 are remembered, the least recently used
    dropped first.
    """

    def __init__(self, idle_seconds: float) -> None:
        self._idle_seconds = idle_seconds
        # As every use moves a session to the end, the first one is over first.
        self._sessions: OrderedDict[str, _Session] = OrderedDict()
        self._by_endpoint: dict[str, int] = {}
        self.by_endpoint: Mapping[str, int] = MappingProxyType(self._by_endpoint)

    def __len__(self) -> int:
        return len(self._sessions)

    def sent(self, session: str, endpoint: str, now: float) -> None:
        """A request of the session goes to the endpoint."""
        known = self._sessions.pop(session, None)
        if known is not None:
            self._count(known.endpoint, -1)
        self._sessions[session] = _Session(endpoint, now, 1 + (0 if known is None else known.on_the_way))
        self._count(endpoint, 1)
        if len(self._sessions) > MAX_SESSIONS:
            self._drop_first()

    def ended(self, session: str, now: float) -> None:
        """A request of the session has ended."""
        known = self._sessions.get(session)
        if known is not None:
            known.on_the_way = max(0, known.on_the_way - 1)
            known.used_at = now
            self._sessions.move_to_end(session)

    def sweep(self, now: float) -> None:
        """Drops the sessions that are over."""
        while self._sessions:
            session, known = next(iter(self._sessions.items()))
            if now - known.used_at < self._idle_seconds:
                return
            if known.on_the_way:
                known.used_at = now
                self._sessions.move_to_end(session)
            else:
                self._drop_first()

    def _drop_first(self) -> None:
        _, known = self._sessions.popitem(last=False)
        self._count(known.endpoint, -1)

    def _count(self, endpoint: str, change: int) -> None:
        count = self._by_endpoint.get(endpoint, 0) + change
        if count:
            self._by_endpoint[endpoint] = count
        else:
            self._by_endpoint.pop(endpoint, None)
