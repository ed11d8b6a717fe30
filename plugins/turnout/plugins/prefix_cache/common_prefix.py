"""Notices the prefix that most prompts share, such as one system prompt for a whole pool.

Theory of operation. What most requests share is in every cache before long, so it says nothing about where to send one
of them; taken for a match it sends everybody to whoever had it first. One chain of blocks is kept for which each
depth has the share of recent requests that agree with it, as an exponential mean. When fewer than a half begin as the
chain does, the next request's chain takes its place; so the chain of a majority always comes in, after a few requests.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

MEMORY = 64
"""Requests that the share speaks of."""

COMMON_SHARE = 0.5
"""With at least so many requests in common a prefix is in the caches of all endpoints, if there are two or more."""

_ON_TRIAL = 0.45
_GIVEN_UP = 0.4

MAX_BLOCKS = 4_096
"""Of the chain that is kept; what lies deeper is not common."""

# A share below this is that of one request a while ago.
_NEGLIGIBLE = 0.25 / MEMORY


@dataclass(slots=True)
class _Step:
    """The blocks from the end of the step before up to ``end``, and the share of requests that agree with them."""

    end: int
    share: float


class CommonPrefix:
    """The share of recent prompts that begin with the blocks of one chain, for each depth of it."""

    __slots__ = ("_chain", "_seen", "_steps")

    def __init__(self) -> None:
        self._chain: Sequence[int] = ()
        self._steps: list[_Step] = []
        self._seen = 0

    def note(self, chain: Sequence[int]) -> int:
        """Takes a prompt into account; returns how many of its leading blocks most prompts share."""
        if not chain:
            return 0
        agreed = self._agreement(chain)
        common = self._common(agreed)
        self._learn(chain, agreed)
        return common

    def _agreement(self, chain: Sequence[int]) -> int:
        kept = self._chain
        depths = range(min(len(chain), len(kept)))
        return bisect_left(depths, True, key=lambda depth: chain[depth] != kept[depth])

    def _common(self, agreed: int) -> int:
        if self._seen < MEMORY:
            return 0
        ends = [step.end for step in self._steps if step.share >= COMMON_SHARE]
        return min(agreed, ends[-1]) if ends else 0

    def _learn(self, chain: Sequence[int], agreed: int) -> None:
        self._seen = min(self._seen + 1, MEMORY)
        self._part_at(agreed)
        for step in self._steps:
            step.share *= 1.0 - 1.0 / MEMORY
            if step.end <= agreed:
                step.share += 1.0 / MEMORY
        while self._steps and self._steps[-1].share < _NEGLIGIBLE:
            self._steps.pop()
        if not self._steps or self._steps[0].share < _GIVEN_UP:
            self._chain = tuple(chain[:MAX_BLOCKS])
            self._steps = [_Step(len(self._chain), _ON_TRIAL)]

    def _part_at(self, depth: int) -> None:
        """Makes the depth the end of a step, if it lies within one."""
        for number, step in enumerate(self._steps):
            begin = self._steps[number - 1].end if number else 0
            if begin < depth < step.end:
                self._steps.insert(number, _Step(depth, step.share))
                return
