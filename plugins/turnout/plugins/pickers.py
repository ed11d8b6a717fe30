"""Choose among scored endpoints. Each picker owns its random generator, so that a seed fixes its choices."""

import heapq
import math
import random
from collections.abc import Sequence
from operator import attrgetter

from turnout.framework import CycleState, Endpoint, InferenceRequest, ScoredEndpoint

_score = attrgetter("score")


class MaxScorePicker:
    """Picks the highest scores, up to ``max_num_of_endpoints`` (below 1 means 1); ties are broken at random."""

    def __init__(self, max_num_of_endpoints: int = 1, seed: int | None = None) -> None:
        self._count = max(1, max_num_of_endpoints)
        self._random = random.Random(seed)

    def pick(
        self, request: InferenceRequest, state: CycleState, scored: Sequence[ScoredEndpoint]
    ) -> Sequence[Endpoint]:
        if self._count > 1:
            draw = self._random.random
            best = heapq.nlargest(self._count, scored, key=lambda candidate: (candidate.score, draw()))
            return [candidate.endpoint for candidate in best]
        highest = max(scored, key=_score).score
        return [self._random.choice([candidate.endpoint for candidate in scored if candidate.score == highest])]


class RandomPicker:
    """Picks uniformly at random, up to ``max_num_of_endpoints`` (below 1 means 1)."""

    def __init__(self, max_num_of_endpoints: int = 1, seed: int | None = None) -> None:
        self._count = max(1, max_num_of_endpoints)
        self._random = random.Random(seed)

    def pick(
        self, request: InferenceRequest, state: CycleState, scored: Sequence[ScoredEndpoint]
    ) -> Sequence[Endpoint]:
        return _sample(self._random, scored, self._count)


class WeightedRandomPicker:
    """Picks at random without replacement, each endpoint with a chance in proportion to its score.

    Endpoints whose score is not positive come after all others, in random order. ``max_num_of_endpoints``
    below 1 means 1.
    """

    def __init__(self, max_num_of_endpoints: int = 1, seed: int | None = None) -> None:
        self._count = max(1, max_num_of_endpoints)
        self._random = random.Random(seed)

    def pick(
        self, request: InferenceRequest, state: CycleState, scored: Sequence[ScoredEndpoint]
    ) -> Sequence[Endpoint]:
        likely = [candidate for candidate in scored if candidate.score > 0.0]
        picked = self._drawn(likely) if likely else []
        if len(picked) < self._count:
            unlikely = [candidate for candidate in scored if not candidate.score > 0.0]
            picked += _sample(self._random, unlikely, self._count - len(picked))
        return picked

    def _drawn(self, likely: Sequence[ScoredEndpoint]) -> list[Endpoint]:
        # The largest U^(1/score) is the smallest -log(U)/score (Efraimidis and Spirakis), which cannot underflow
        # to a tie; scores relative to the highest keep it finite.
        highest = max(score for _, score in likely)
        draw = self._random.random

        def waiting_time(candidate: ScoredEndpoint) -> float:
            return -math.log(1.0 - draw()) * (highest / candidate.score)

        first = heapq.nsmallest(self._count, likely, key=waiting_time)
        return [candidate.endpoint for candidate in first]


def _sample(generator: random.Random, scored: Sequence[ScoredEndpoint], count: int) -> list[Endpoint]:
    return [candidate.endpoint for candidate in generator.sample(scored, min(count, len(scored)))]
