"""Fits what is remembered of an endpoint to what its engine turns out to keep.

An engine's size in tokens says how many prompt bytes it holds only roughly: 4 bytes a token is an estimate, answers
and running requests need room too, and a second tier of memory adds some. What counts is whether the prefixes that are
believed to be there are found. When fewer are found, the engine evicts earlier than we do; when more are found, later.
"""

from dataclasses import dataclass

from turnout.plugins.prefix_cache.agreement import Tally

REVIEW_SECONDS = 30.0
"""Between two corrections of an endpoint: after one, the reports have to follow."""

STALE_SECONDS = 300.0
"""Evidence that takes longer to gather is of different times and dropped."""

MIN_COMPARED = 20
MIN_REQUESTS = 100
"""By the engine's totals, which hold other traffic too and come late, more requests are needed than by usage."""

NOTABLE_SHARE = 0.1
"""Of the prompt tokens: blocks, estimates and requests that meet on their way make smaller differences all the time."""

SHRINK = 0.9
GROW = 0.02
"""Believing too much sends requests where nothing is cached; believing too little costs only a chance."""

LOWEST, HIGHEST = 1 / 8, 4.0
"""Answers seldom take more than seven eighths of a cache: below, something else is wrong, and findings say so.
Offloading and text of 16 bytes a token are what can hold four times as much."""


@dataclass(slots=True)
class _State:
    factor: float
    counted: Tally
    at: float


class CapacityCorrection:
    """A factor for the capacity of each endpoint, by name; 1 until reports and predictions disagree."""

    def __init__(self) -> None:
        self._states: dict[str, _State] = {}

    def factor(self, name: str) -> float:
        """From 1/8 to 4."""
        state = self._states.get(name)
        return state.factor if state else 1.0

    def due(self, name: str, now: float) -> bool:
        """Whether it is time to call ``review``."""
        state = self._states.get(name)
        return state is None or now - state.at >= REVIEW_SECONDS

    def review(self, name: str, total: Tally, held: int, capacity: int, now: float) -> None:
        """Corrects the factor by what was added to ``total`` since the last review.

        ``held`` and ``capacity`` are the endpoint's blocks and how many it may have without any correction. Only
        an endpoint that has filled half of its capacity can have too much, only one that has filled it too little.
        """
        state = self._states.get(name)
        if state is None:
            self._states[name] = _State(1.0, total, now)
            return
        surplus = _surplus(total.since(state.counted))
        if surplus is None and now - state.at < STALE_SECONDS:
            return
        filled = held / max(1.0, capacity * state.factor)
        if surplus is not None and surplus > NOTABLE_SHARE and filled >= 0.5:
            state.factor = max(LOWEST, min(state.factor, held / capacity) * SHRINK)
        elif surplus is not None and surplus < -NOTABLE_SHARE and filled >= 1.0 - NOTABLE_SHARE:
            state.factor = min(HIGHEST, state.factor + GROW)
        state.counted, state.at = total, now

    def start_over(self, name: str, total: Tally, now: float) -> None:
        """What was counted until now no longer says anything; the factor stays."""
        self._states[name] = _State(self.factor(name), total, now)

    def forget(self, name: str) -> None:
        """Drops what is known of an endpoint, if anything is."""
        self._states.pop(name, None)


def _surplus(new: Tally) -> float | None:
    """The share of the prompts that was expected in the cache and not found there; negative for the opposite."""
    if new.compared >= MIN_COMPARED:
        return (new.compared_predicted_tokens - new.reported_tokens) / new.compared_prompt_tokens
    if new.requests >= MIN_REQUESTS and new.engine_queries > 0 and new.engine_sees_our_prompts:
        return new.predicted_tokens / new.prompt_tokens - new.engine_hits / new.engine_queries
    return None
