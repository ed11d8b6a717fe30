"""Look at a part of a large pool: so many endpoints at random, each with the same chance."""

import heapq
import math
import random
from collections.abc import Sequence

from turnout.framework import CycleState, Endpoint, InferenceRequest
from turnout.plugins.prefix_cache.keys import PREFIX_MATCHES


class SamplingFilter:
    """Keeps at most ``max_endpoints_to_score`` endpoints, and at most ``percentage_of_endpoints_to_score`` of them.

    The smaller of the two bounds holds; at least ``min_endpoints_to_score`` are kept in any case. They are drawn at
    random for each request, every subset of that size being equally likely, and stay in their order. The filters after
    it, the scorers and the picker then cost what so many endpoints cost.

    ``keep_longest_matches`` endpoints with the longest match of the prompt's prefix are kept beside those that were
    drawn, so that a prompt finds its cache in a pool of thousands. ``prefix_match_info_producer_name`` is the plugin
    whose matches tell; empty means ``approx-prefix-cache-producer``.

    Raises:
        ValueError: a number is out of its range.
    """

    def __init__(
        self,
        max_endpoints_to_score: int | None = None,
        percentage_of_endpoints_to_score: float = 100.0,
        min_endpoints_to_score: int = 1,
        keep_longest_matches: int = 0,
        prefix_match_info_producer_name: str = "",
        seed: int | None = None,
    ) -> None:
        if max_endpoints_to_score is not None and max_endpoints_to_score < 1:
            raise ValueError(f"max_endpoints_to_score must be at least 1, got {max_endpoints_to_score}")
        if not 0.0 < percentage_of_endpoints_to_score <= 100.0:
            raise ValueError(
                f"percentage_of_endpoints_to_score must be within (0, 100], got {percentage_of_endpoints_to_score}"
            )
        if min_endpoints_to_score < 1:
            raise ValueError(f"min_endpoints_to_score must be at least 1, got {min_endpoints_to_score}")
        if keep_longest_matches < 0:
            raise ValueError(f"keep_longest_matches must be at least 0, got {keep_longest_matches}")
        self._most = max_endpoints_to_score
        self._percentage = percentage_of_endpoints_to_score
        self._least = min_endpoints_to_score
        self._kept_matches = keep_longest_matches
        self._matches_key = PREFIX_MATCHES.of(prefix_match_info_producer_name)
        self.reads = (self._matches_key,) if keep_longest_matches else ()
        self._random = random.Random(seed)

    def filter(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        count = len(endpoints)
        wanted = self._wanted(count)
        if wanted >= count:
            return endpoints
        chosen = self._random.sample(range(count), wanted)
        if self._kept_matches:
            chosen = list({*chosen, *self._longest_matches(state, endpoints)})
        chosen.sort()
        return [endpoints[place] for place in chosen]

    def _wanted(self, count: int) -> int:
        # Of 28% of 50, which are 14, no float makes 15.
        wanted = math.ceil(round(count * self._percentage / 100.0, 9))
        if self._most is not None:
            wanted = min(wanted, self._most)
        return max(wanted, self._least)

    def _longest_matches(self, state: CycleState, endpoints: Sequence[Endpoint]) -> Sequence[int]:
        """The places of the endpoints with the longest matches."""
        matches = state.get(self._matches_key)
        if matches is None or not matches.blocks:
            return ()
        blocks = matches.blocks
        found = [(blocks[endpoint.name], place) for place, endpoint in enumerate(endpoints) if endpoint.name in blocks]
        return [place for length, place in heapq.nlargest(self._kept_matches, found) if length > 0]
