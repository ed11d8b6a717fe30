"""Which places at endpoints are taken, and by which gang.

A gang takes its places whole or not at all, in one step: none ever holds some and waits for others, so that gangs that
compete cannot block each other. What it holds is a reservation, which ends by itself, and from the dispatch on a
booking, which ends with the request.
"""

from collections.abc import Collection
from dataclasses import dataclass
from itertools import count, takewhile

NOBODY = -1


@dataclass(frozen=True, slots=True)
class Held:
    """The places of all gangs together, by whether they have been dispatched."""

    reserved: int
    booked: int


class Books:
    """``slots`` is how many gangs an endpoint may be in at once, ``limit`` how many seconds a reservation lasts.

    Gangs go by numbers. Times are on one clock that does not go back. What is kept is bounded by the requests that are
    in flight, and those that were let go within ``limit``.
    """

    def __init__(self, slots: int, limit: float) -> None:
        self.expired = 0
        """Reservations that ended by themselves, since the start."""
        self.version = 0
        """Another number whenever something was taken or given back."""
        self._slots = slots
        self._limit = limit
        self._numbers = count()
        self._held: dict[int, tuple[str, ...]] = {}
        self._gangs: dict[str, set[int]] = {}  # by endpoint
        self._ends: dict[int, float] = {}  # of reservations, the first to end first

    def has_room(self, name: str, own: int = NOBODY) -> bool:
        """Whether the endpoint has a place that is free, or held by the gang of the number ``own``."""
        gangs = self._gangs.get(name)
        return gangs is None or len(gangs) < self._slots or own in gangs

    def reserve(self, names: Collection[str], now: float) -> int | None:
        """Takes a place at each of these endpoints, and gives the gang its number; None if any has no place."""
        if not all(map(self.has_room, names)):
            return None
        number = self._take(names)
        self._ends[number] = now + self._limit
        return number

    def book(self, names: Collection[str], own: int = NOBODY) -> int:
        """Takes a place at each until it is released, in exchange for what ``own`` holds; gives the new number.

        Raises:
            ValueError: an endpoint has no place; nothing has changed then.
        """
        full = next((name for name in names if not self.has_room(name, own)), None)
        if full is not None:
            raise ValueError(f"{full} has no place left")
        self.release(own)
        return self._take(names)

    def release(self, number: int) -> None:
        """Gives back what the gang holds, if it holds anything."""
        names = self._held.pop(number, None)
        self._ends.pop(number, None)
        if names is None:
            return
        self.version += 1
        for name in names:
            gangs = self._gangs.get(name, set())
            gangs.discard(number)
            if not gangs:
                self._gangs.pop(name, None)

    def expire(self, now: float) -> None:
        """Gives back what was reserved too long ago."""
        for number in [number for number, _ in takewhile(lambda each: each[1] <= now, self._ends.items())]:
            self.expired += 1
            self.release(number)

    def forget(self, name: str) -> None:
        """The endpoint is gone: whatever comes under its name is another one, and has all its places."""
        for number in self._gangs.pop(name, set()):
            self._held[number] = tuple(each for each in self._held[number] if each != name)
            self.version += 1

    def held(self) -> Held:
        """How much is taken."""
        reserved = sum(len(self._held[number]) for number in self._ends)
        return Held(reserved, sum(map(len, self._held.values())) - reserved)

    def _take(self, names: Collection[str]) -> int:
        number = next(self._numbers)
        self.version += 1
        self._held[number] = tuple(names)
        for name in names:
            self._gangs.setdefault(name, set()).add(number)
        return number
