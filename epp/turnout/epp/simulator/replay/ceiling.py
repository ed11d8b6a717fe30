"""The best token hit rate that an assignment of requests to servers reached, judged by the caches alone."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from random import Random

from turnout.epp.simulator.replay.assignments import Assignment, Pool, strategies
from turnout.epp.simulator.replay.cache_only import CachedPrompt, cached_prompts, play, play_assignment
from turnout.epp.simulator.replay.trace import TracedRequest


@dataclass(frozen=True, slots=True)
class Try:
    """An assignment, how it was found, and its token hit rate (0 to 1) in caches without time."""

    name: str
    hit_rate: float
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
    def best_without_foresight(self) -> Try:
        """The best try that knows of no request before it comes."""
        return next(tried for tried in self.tries if not tried.foresight)


def find_ceiling(
    requests: Sequence[TracedRequest],
    pool: Pool,
    block_size: int,
    changes: int,
    on_try: Callable[[], None] = lambda: None,
) -> Ceiling:
    """Tries every strategy, then so many changes of the best one; ``on_try`` follows each try."""
    prompts = cached_prompts(requests, block_size)
    total = sum(prompt.prompt_tokens for prompt in prompts)
    tries: list[Try] = []
    for strategy in strategies(prompts, pool):
        assignment = strategy.assign()
        found = sum(play_assignment(prompts, assignment, pool.servers, pool.capacity))
        tries.append(Try(strategy.name, found / total, strategy.foresight, assignment))
        on_try()
    if changes:
        best = max(tries, key=_hit_rate)
        climber = _Climber(prompts, pool, list(best.assignment))
        for _ in range(changes):
            climber.step()
            on_try()
        tries.append(Try(f"{best.name}, {changes} changes tried", climber.found / total, True, climber.assignment))
    tries.sort(key=_hit_rate, reverse=True)
    whole = pool.capacity * pool.servers
    return Ceiling(tuple(tries), play(prompts, whole) / total, play(prompts, inf) / total)


def _hit_rate(tried: Try) -> float:
    return tried.hit_rate


class _Climber:
    """Moves requests that share a prefix to one server, and keeps a move that does not make it worse.

    ``assignment`` is changed in place.
    """

    def __init__(self, prompts: Sequence[CachedPrompt], pool: Pool, assignment: Assignment) -> None:
        self._prompts = prompts
        self._pool = pool
        self.assignment = assignment
        self._random = Random(pool.seed)
        self._found = play_assignment(prompts, assignment, pool.servers, pool.capacity)
        self._users: defaultdict[int, list[int]] = defaultdict(list)
        for number, prompt in enumerate(prompts):
            for node in prompt.nodes:
                self._users[node].append(number)

    @property
    def found(self) -> int:
        """Tokens found by the assignment as it is."""
        return sum(self._found)

    def step(self) -> None:
        """Tries one move."""
        node = self._random.choice(self._random.choice(self._prompts).nodes)
        target = self._random.randrange(self._pool.servers)
        moved = [number for number in self._users[node] if self.assignment[number] != target]
        # What most requests share cannot live at one server; such a move would only take long.
        if not moved or len(moved) > len(self._prompts) // self._pool.servers:
            return
        before = [(number, self.assignment[number]) for number in moved]
        touched = {target, *(server for _, server in before)}
        for number in moved:
            self.assignment[number] = target
        found = {server: self._play(server) for server in touched}
        if sum(found.values()) >= sum(self._found[server] for server in touched):
            for server, tokens in found.items():
                self._found[server] = tokens
        else:
            for number, server in before:
                self.assignment[number] = server

    def _play(self, server: int) -> int:
        here = (p for p, place in zip(self._prompts, self.assignment, strict=True) if place == server)
        return play(here, self._pool.capacity)
