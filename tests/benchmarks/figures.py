"""Measured values, their baselines and budgets, and how samples become one value.

Every value is the median over repetitions of a percentile within each repetition, so that one repetition which
the machine disturbed does not decide. The noise is half the distance between the highest and lowest
repetition, relative to the median. Baselines are measured in turns with what they are compared to.
"""

import statistics
import time
import tracemalloc
from collections.abc import Callable, Coroutine, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Unit = Literal["s", "bytes", "cores", "requests/s", "x"]
Judged = Literal["measured", "added"]


@dataclass(frozen=True, slots=True)
class Value:
    """A median over repetitions and its noise, a fraction of the median."""

    median: float
    noise: float = 0.0


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the report; ``budget`` is an upper bound for what ``judged`` names, and None where there is none.

    ``added`` is what is measured less the baseline.
    """

    case: str
    what: str
    unit: Unit
    measured: Value
    baseline: Value | None = None
    compared_to: str = ""
    budget: float | None = None
    judged: Judged = "measured"

    @property
    def added(self) -> float | None:
        return None if self.baseline is None else self.measured.median - self.baseline.median

    @property
    def ratio(self) -> float | None:
        if self.baseline is None or not self.baseline.median:
            return None
        return self.measured.median / self.baseline.median

    @property
    def shown(self) -> float | None:
        """What the budget speaks of."""
        match self.judged:
            case "measured":
                return self.measured.median
            case "added":
                return self.added

    @property
    def within(self) -> bool | None:
        return None if self.budget is None or self.shown is None else self.shown <= self.budget


@dataclass(slots=True)
class Samples:
    """Seconds, by repetition."""

    repetitions: list[list[float]] = field(default_factory=list)

    def percentile(self, percent: int) -> Value:
        return value_of(self._percentiles(percent))

    def over(self, other: "Samples", percent: int) -> Value:
        """The ratio to another's percentile, repetition by repetition, so that what slows both cancels out."""
        pairs = zip(self._percentiles(percent), other._percentiles(percent), strict=True)
        return value_of([own / theirs for own, theirs in pairs])

    def _percentiles(self, percent: int) -> list[float]:
        return [_percentile(repetition, percent) for repetition in self.repetitions]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to measure, and whom to tell how far a case has come (a fraction of it)."""

    quick: bool
    advance: Callable[[float], None]

    def pick(self, usual: int, quick: int) -> int:
        return quick if self.quick else usual


Run: TypeAlias = Callable[[Plan], Coroutine[None, None, list[Figure]]]


class BenchmarkError(Exception):
    """A benchmark could not be measured; the message says what went wrong."""


def value_of(repetitions: Sequence[float]) -> Value:
    """The median of what each repetition gave."""
    median = statistics.median(repetitions)
    half_range = (max(repetitions) - min(repetitions)) / 2
    return Value(median, abs(half_range / median) if median else 0.0)


def in_turns(calls: Mapping[str, Callable[[], object]], repetitions: int, times: int) -> Mapping[str, Samples]:
    """Times every call, in blocks of ``times`` that take turns; a first, shorter block of each is dropped.

    The clock is the thread's CPU time: nothing here waits, and what else runs on the machine does not count.
    Garbage collection does. Reading it costs about 0.3 us, which is part of each sample.
    """
    samples = {name: Samples() for name in calls}
    for call in calls.values():
        _block(call, max(1, times // 5))
    for _ in range(repetitions):
        for name, call in calls.items():
            samples[name].repetitions.append(_block(call, times))
    return samples


def kept_per_item(make: Callable[[], Sized]) -> float:
    """Bytes that what ``make`` returns keeps for each of its items."""
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    made = make()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return (after - before) / len(made)


def _block(call: Callable[[], object], times: int) -> list[float]:
    clock = time.thread_time
    seconds = []
    for _ in range(times):
        started = clock()
        call()
        seconds.append(clock() - started)
    return seconds


def _percentile(seconds: Sequence[float], percent: int) -> float:
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]
