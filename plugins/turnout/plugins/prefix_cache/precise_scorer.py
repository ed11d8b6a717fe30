"""The former way to configure precise matches: producer and scorer in one."""

from collections.abc import Sequence
from datetime import timedelta

from turnout.framework import CycleState, Endpoint, InferenceRequest, PluginName, Scores
from turnout.plugins.prefix_cache.precise import (
    DEFAULT_EVENTS,
    DEFAULT_INDEXER,
    DEFAULT_TOKENS,
    PrecisePrefixCacheProducer,
)
from turnout.plugins.prefix_cache.precise_config import IndexerConfig, KVEventsConfig, TokenProcessorConfig
from turnout.plugins.prefix_cache.scorer import PrefixCacheScorer

DEFAULT_NAME = PluginName("precise-prefix-cache-scorer")


class PrecisePrefixCacheScorer(PrecisePrefixCacheProducer):
    """``precise-prefix-cache-producer`` that also scores as ``prefix-cache-scorer`` does: the matched fraction.

    Raises:
        ValueError: a parameter is out of range.
    """

    def __init__(
        self,
        token_processor_config: TokenProcessorConfig = DEFAULT_TOKENS,
        indexer_config: IndexerConfig = DEFAULT_INDEXER,
        kv_events_config: KVEventsConfig = DEFAULT_EVENTS,
        speculative_indexing: bool = False,
        speculative_ttl: timedelta = timedelta(seconds=2),
        name: PluginName = DEFAULT_NAME,
    ) -> None:
        super().__init__(
            token_processor_config,
            indexer_config,
            kv_events_config,
            speculative_indexing,
            speculative_ttl,
            name=name,
        )
        self._scorer = PrefixCacheScorer(prefix_match_info_producer_name=name)

    def score(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Scores:
        return self._scorer.score(request, state, endpoints)
