"""What programs got and how long they waited, in bounded memory."""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from math import exp2

MAX_PROGRAMS = 10_000
MAX_ID_CHARACTERS = 256
MAX_LABELS = 500
OTHER = "other"


@dataclass(slots=True)
class Program:
    """One program. ``service`` is in weighted tokens as of ``served_at``; all times are in seconds."""

    active_at: float
    service: float = 0.0
    served_at: float = 0.0
    dispatches: int = 0
    waited: float = 0.0


@dataclass(slots=True)
class ProgramFigures:
    """The sums over the programs that share a label."""

    service: float = 0.0
    dispatches: int = 0
    waited: float = 0.0

    @property
    def average_wait(self) -> float:
        """Seconds."""
        return self.waited / self.dispatches if self.dispatches else 0.0


class Programs:
    """Programs by their ids, of which the first 256 characters count.

    Attained service halves in ``half_life`` seconds. A program is forgotten when it did nothing for ``ttl`` seconds,
    which is looked for every ``sweep`` seconds, or as the one longest idle of more than 10,000.

    For figures the first 500 printable ids are labels of their own, for good; all others are ``other``.
    """

    def __init__(self, half_life: float, ttl: float, sweep: float) -> None:
        self._half_life = half_life
        self._ttl = ttl
        self._sweep_seconds = sweep
        self._sweep_at = 0.0
        self._latest = 0.0
        # The longest idle first.
        self._programs: OrderedDict[str, Program] = OrderedDict()
        self._labels: set[str] = set()

    def __len__(self) -> int:
        return len(self._programs)

    def service(self, program_id: str, now: float) -> float:
        """The attained service of the program; 0 for one that is not known."""
        program = self._programs.get(program_id[:MAX_ID_CHARACTERS])
        return 0.0 if program is None else self._decayed(program, now)

    def served(self, program_id: str, tokens: float, now: float) -> None:
        """The program got so many weighted tokens."""
        program = self._active(program_id, now)
        program.service = self._decayed(program, now) + tokens
        program.served_at = now

    def dispatched(self, program_id: str, waited: float, now: float) -> None:
        """A request of the program went to an endpoint, after so many seconds in the queue."""
        program = self._active(program_id, now)
        program.dispatches += 1
        program.waited += waited

    def average_waits(self) -> list[float]:
        """Seconds, of each program that had a dispatch."""
        return [program.waited / program.dispatches for program in self._programs.values() if program.dispatches]

    def figures(self) -> dict[str, ProgramFigures]:
        """By label; service as of the last event."""
        found: dict[str, ProgramFigures] = {}
        for program_id, program in self._programs.items():
            label = program_id if program_id in self._labels else OTHER
            figures = found.setdefault(label, ProgramFigures())
            figures.service += self._decayed(program, self._latest)
            figures.dispatches += program.dispatches
            figures.waited += program.waited
        return found

    def _decayed(self, program: Program, now: float) -> float:
        if not program.service:
            return 0.0
        half_lives = max(0.0, now - program.served_at) / self._half_life
        return program.service * exp2(-half_lives)

    def _active(self, program_id: str, now: float) -> Program:
        self._latest = now
        for forgotten in self._idle_until(now):
            del self._programs[forgotten]
        key = program_id[:MAX_ID_CHARACTERS]
        program = self._programs.setdefault(key, Program(now))
        program.active_at = now
        self._programs.move_to_end(key)
        if len(self._programs) > MAX_PROGRAMS:
            self._programs.popitem(last=False)
        if len(self._labels) < MAX_LABELS and key.isprintable():
            self._labels.add(key)
        return program

    def _idle_until(self, now: float) -> list[str]:
        """Whom to forget, when it is time to look for them."""
        if now < self._sweep_at:
            return []
        self._sweep_at = now + self._sweep_seconds
        return list(self._idle_ids(now - self._ttl))

    def _idle_ids(self, since: float) -> Iterator[str]:
        for program_id, program in self._programs.items():
            if program.active_at > since:
                return
            yield program_id
