"""Spreads prompts that nobody has cached, so that the caches of all endpoints grow alike."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from itertools import count

from turnout.framework import CycleState, Endpoint, InferenceRequest, SchedulingResult, Scores
from turnout.plugins.prefix_cache.keys import PREFIX_MATCHES

DEFAULT_LRU_SIZE = 1024
PREFILL_PROFILE = "prefill"
NEUTRAL = 0.5
NEVER = -1


class NoHitLRUScorer:
    """Scores the endpoint 1 to which a cold prompt was sent longest ago, and the latest one 0.

    A prompt is cold when none of the endpoints is believed to have cached a block of it; for all others every
    endpoint scores 0.5. Endpoints that never got a cold prompt come first, in their order. The place i among n
    endpoints scores 1 - i / (n - 1), a single endpoint 1. Cold prompts are remembered for the destination and for
    the endpoint of the profile named ``prefill``, for the ``lru_size`` endpoints that got the latest ones; below 1
    means 1024.

    ``prefix_match_info_producer_name`` is the plugin whose matches are read; empty means
    ``approx-prefix-cache-producer``. ``prefix_plugin_type`` and ``prefix_plugin_name`` are accepted and have no
    effect.
    """

    def __init__(
        self,
        lru_size: int = DEFAULT_LRU_SIZE,
        prefix_match_info_producer_name: str = "",
        prefix_plugin_type: str = "",
        prefix_plugin_name: str = "",
    ) -> None:
        self._size = lru_size if lru_size >= 1 else DEFAULT_LRU_SIZE
        self._matches_key = PREFIX_MATCHES.of(prefix_match_info_producer_name)
        self.reads = (self._matches_key,)
        # The number of the last cold dispatch to each endpoint, the oldest first.
        self._last: OrderedDict[str, int] = OrderedDict()
        self._dispatches = count()

    def score(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Scores:
        if not self._cold(state, endpoints):
            return [NEUTRAL] * len(endpoints)
        if len(endpoints) == 1:
            return [1.0]
        last = [self._last.get(endpoint.name, NEVER) for endpoint in endpoints]
        scores = [0.0] * len(endpoints)
        for rank, position in enumerate(sorted(range(len(endpoints)), key=last.__getitem__)):
            scores[position] = 1.0 - rank / (len(endpoints) - 1)
        return scores

    def pre_request(self, request: InferenceRequest, state: CycleState, result: SchedulingResult) -> None:
        """Learns where a cold prompt goes."""
        for name in dict.fromkeys((result.primary, PREFILL_PROFILE)):
            profile = result.profiles.get(name)
            if profile is not None and self._cold(state, (candidate.endpoint for candidate in profile.scored)):
                self._used(profile.picked[0].name)

    def _cold(self, state: CycleState, endpoints: Iterable[Endpoint]) -> bool:
        matches = state.get(self._matches_key)
        if matches is None or not matches.blocks:
            return True
        return not any(matches.blocks.get(endpoint.name, 0) for endpoint in endpoints)

    def _used(self, name: str) -> None:
        self._last[name] = next(self._dispatches)
        self._last.move_to_end(name)
        if len(self._last) > self._size:
            self._last.popitem(last=False)
