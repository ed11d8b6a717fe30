"""The best token hit rate that an assignment of requests to servers reached, judged by the caches alone."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import inf
from random import Random

from turnout.epp.simulator.replay.assignments import Assignment, Pool, strategies
from turnout.epp.simulator.replay.cache_only import CachedPrompt, play

MOST_LOAD_OF_BALANCED = 1.25
"""In a balanced assignment no server computes more prompt tokens than so many times the mean of all servers."""


@dataclass(frozen=True, slots=True)
class Try:
    """An assignment, how it was found, and its token hit rate (0 to 1) in caches without time.

    ``busiest`` is the share of prompt tokens that one server has to compute, at most, over the mean of all servers.
    """

    name: str
    hit_rate: float
    busiest: float
    foresight: bool
    assignment: Assignment


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The tries, best first, and token hit rates that bound them.

    ``one_cache`` is the rate of a single cache with the capacity of all servers, ``infinite`` that of one without a
    limit, which nothing can exceed.
    """

    tries: tuple[Try, ...]
    one_cache: float
    infinite: float

    @property
    def best(self) -> Try:
        """The best try."""
        return self.tries[0]

    @property
    def best_balanced(self) -> Try | None:
        """The best try in which no server computes more than 1.25 times the mean, if there is one."""
        return next((tried for tried in self.tries if _is_balanced(tried)), None)

    @property
    def best_without_foresight(self) -> Try:
        """The best try that knows of no request before it comes."""
        return next(tried for tried in self.tries if not tried.foresight)


def find_ceiling(
    prompts: Sequence[CachedPrompt], pool: Pool, changes: int, on_try: Callable[[], None] = lambda: None
) -> Ceiling:
    """Tries every strategy, then so many changes of the best, and of the best balanced one; ``on_try`` follows each."""
    tries: list[Try] = []
    for strategy in strategies(prompts, pool):
        played = _Played(prompts, pool, strategy.assign())
        tries.append(played.as_try(strategy.name, foresight=strategy.foresight))
        on_try()
    starts = {"changes": max(tries, key=_hit_rate)}
    balanced = [tried for tried in tries if _is_balanced(tried)]
    if balanced:
        starts["balanced changes"] = max(balanced, key=_hit_rate)
    for kind, start in starts.items() if changes else ():
        climber = _Climber(prompts, pool, start.assignment, inf if kind == "changes" else MOST_LOAD_OF_BALANCED)
        for _ in range(changes):
            climber.step()
            on_try()
        tries.append(climber.played.as_try(f"{start.name}, {changes} {kind} tried", foresight=True))
    tries.sort(key=_hit_rate, reverse=True)
    total = sum(prompt.prompt_tokens for prompt in prompts)
    whole = pool.capacity * pool.servers
    return Ceiling(tuple(tries), play(prompts, whole) / total, play(prompts, inf) / total)


def _hit_rate(tried: Try) -> float:
    return tried.hit_rate


def _is_balanced(tried: Try) -> bool:
    return tried.busiest <= MOST_LOAD_OF_BALANCED


class _Played:
    """An assignment that may change, with the tokens that each server is sent and those that it finds."""

    def __init__(self, prompts: Sequence[CachedPrompt], pool: Pool, assignment: Sequence[int]) -> None:
        self.assignment = list(assignment)
        self._prompts = prompts
        self._pool = pool
        self._sent = [0] * pool.servers
        self._found = [0] * pool.servers
        self.replay(range(pool.servers))

    @property
    def found(self) -> int:
        """Tokens found at all servers."""
        return sum(self._found)

    @property
    def busiest(self) -> float:
        """Tokens that the busiest server computes over the mean."""
        computed = [sent - found for sent, found in zip(self._sent, self._found, strict=True)]
        return max(computed) * len(computed) / sum(computed)

    def replay(self, servers: Iterable[int]) -> None:
        """Plays again what these servers get."""
        for server in servers:
            here = [p for p, place in zip(self._prompts, self.assignment, strict=True) if place == server]
            self._sent[server] = sum(prompt.prompt_tokens for prompt in here)
            self._found[server] = play(here, self._pool.capacity)

    def marks(self) -> tuple[list[int], list[int]]:
        """What ``reset`` needs to take back the plays that follow."""
        return self._sent[:], self._found[:]

    def reset(self, marks: tuple[list[int], list[int]]) -> None:
        """Takes back the plays since ``marks``, not the assignment."""
        self._sent, self._found = marks

    def as_try(self, name: str, *, foresight: bool) -> Try:
        """The assignment as it is now."""
        return Try(name, self.found / sum(self._sent), self.busiest, foresight, self.assignment)


class _Climber:
    """Moves requests that share a prefix to one server, and keeps a move that does not make it worse.

    No move makes the busiest server compute more than ``most_load`` times the mean.
    """

    def __init__(self, prompts: Sequence[CachedPrompt], pool: Pool, assignment: Assignment, most_load: float) -> None:
        self.played = _Played(prompts, pool, assignment)
        self._prompts = prompts
        self._servers = pool.servers
        self._most_load = most_load
        self._random = Random(pool.seed)
        self._users: defaultdict[int, list[int]] = defaultdict(list)
        for number, prompt in enumerate(prompts):
            for node in prompt.nodes:
                self._users[node].append(number)

    def step(self) -> None:
        """Tries one move."""
        played, assignment = self.played, self.played.assignment
        node = self._random.choice(self._random.choice(self._prompts).nodes)
        target = self._random.randrange(self._servers)
        moved = [number for number in self._users[node] if assignment[number] != target]
        # What most requests share cannot live at one server; such a move would only take long.
        if not moved or len(moved) > len(self._prompts) // self._servers:
            return
        before = [(number, assignment[number]) for number in moved]
        found, marks = played.found, played.marks()
        for number in moved:
            assignment[number] = target
        played.replay({target, *(server for _, server in before)})
        if played.found < found or played.busiest > self._most_load:
            played.reset(marks)
            for number, server in before:
                assignment[number] = server
