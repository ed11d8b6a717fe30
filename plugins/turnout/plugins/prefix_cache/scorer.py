"""Prefers endpoints that have cached the beginning of the prompt."""

from collections.abc import Sequence

from turnout.framework import CycleState, Endpoint, InferenceRequest, Scores
from turnout.plugins.prefix_cache.keys import PREFIX_MATCHES
from turnout.plugins.prefix_cache.parameters import at_least


class PrefixCacheScorer:
    """Scores the matched fraction of the prompt's blocks; without blocks everyone scores 0.

    Blocks that the engine keeps in slower memory count as much as their producer says that they are worth.

    ``match_length_weight`` w, 0 to 1, mixes in how long the match is: w * min(1, matched tokens /
    ``match_length_scale_tokens``)^2 + (1 - w) * matched fraction. ``prefix_match_info_producer_name`` is the
    plugin whose matches are read; empty means ``approx-prefix-cache-producer``. With ``ignore_common_prefix`` the
    leading blocks that most recent prompts share count neither as matched nor as part of the prompt.

    Raises:
        ValueError: the weight is not within [0, 1], or the scale is not positive.
    """

    def __init__(
        self,
        match_length_weight: float = 0.0,
        match_length_scale_tokens: int = 8192,
        prefix_match_info_producer_name: str = "",
        ignore_common_prefix: bool = False,
    ) -> None:
        if not 0.0 <= match_length_weight <= 1.0:
            raise ValueError(f"match_length_weight must be within [0, 1], got {match_length_weight}")
        at_least("match_length_scale_tokens", match_length_scale_tokens, 1)
        self._weight = match_length_weight
        self._scale_tokens = match_length_scale_tokens
        self._ignores_common = ignore_common_prefix
        self._matches_key = PREFIX_MATCHES.of(prefix_match_info_producer_name)
        self.reads = (self._matches_key,)

    def score(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Scores:
        # A producer that failed or ran out of time costs its data, not the request.
        matches = state.get(self._matches_key)
        if matches is None or not matches.blocks or not matches.total_blocks:
            return [0.0] * len(endpoints)
        matched, total = matches.blocks, matches.total_blocks
        common = matches.common_blocks if self._ignores_common else 0
        if not self._weight and not matches.weights and not common:
            return [matched.get(endpoint.name, 0) / total for endpoint in endpoints]
        if common >= total:
            return [0.0] * len(endpoints)
        worth = [
            max(0, matched.get(endpoint.name, 0) - common) * matches.weights.get(endpoint.name, 1.0)
            for endpoint in endpoints
        ]
        return [self._blend(blocks, total - common, matches.block_size_tokens) for blocks in worth]

    def _blend(self, matched: float, total: int, block_size_tokens: int) -> float:
        length = min(1.0, matched * block_size_tokens / self._scale_tokens)
        return min(1.0, self._weight * length**2 + (1.0 - self._weight) * matched / total)
