"""Decide whether other endpoints work on a request as well."""

import re
from collections.abc import Sequence

from turnout.framework import PROMPT, CycleState, Endpoint, InferenceRequest, PluginName, Prompt
from turnout.plugins.disagg.keys import DISAGG_DECISION
from turnout.plugins.inflight_load.keys import UncachedRequestTokens
from turnout.plugins.prefix_cache.keys import PREFIX_MATCHES

# In a prompt's raw JSON a quote within a text has a backslash before it, so that this is never somebody's text.
_CONTENT_PART = re.compile(
    rb'"type"\s*:\s*"(?:image_url|input_image|image|video_url|video|audio_url|input_audio|audio)"'
)


ALWAYS = PluginName("always-disagg-pd-decider")
MULTIMODAL = PluginName("always-disagg-multimodal-decider")
PREFIX_BASED = PluginName("prefix-based-pd-decider")


class AlwaysDisaggPdDecider:
    """Yes, for every request."""

    def __init__(self, name: PluginName = ALWAYS) -> None:
        self._key = DISAGG_DECISION.of(name)
        self.writes = (self._key,)

    async def produce(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> None:
        """Publishes the decision."""
        state.write(self._key, _yes)


class AlwaysDisaggMultimodalDecider:
    """Yes, for a request with images, videos or sound among its messages."""

    optional_reads = (PROMPT,)

    def __init__(self, name: PluginName = MULTIMODAL) -> None:
        self._key = DISAGG_DECISION.of(name)
        self.writes = (self._key,)

    async def produce(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> None:
        """Publishes the decision."""
        found = _CONTENT_PART.search(state.get(PROMPT, Prompt()).data)
        state.write(self._key, _yes if found else _no)


class PrefixBasedPdDecider:
    """Yes, where the endpoint that was picked first would have to compute at least ``non_cached_tokens``.

    That is if the prompt has at least ``prompt_tokens`` tokens, and what of it is not believed to be cached there at
    least ``non_cached_tokens``; 0 never disaggregates. ``prefix_match_info_producer_name`` is the plugin whose matches
    tell what is cached; empty means ``approx-prefix-cache-producer``.

    Raises:
        ValueError: a number is negative.
    """

    def __init__(
        self,
        non_cached_tokens: int = 0,
        prompt_tokens: int = 0,
        prefix_match_info_producer_name: str = "",
        name: PluginName = PREFIX_BASED,
    ) -> None:
        if non_cached_tokens < 0:
            raise ValueError(f"non_cached_tokens must be at least 0, got {non_cached_tokens}")
        if prompt_tokens < 0:
            raise ValueError(f"prompt_tokens must be at least 0, got {prompt_tokens}")
        self._non_cached_tokens = non_cached_tokens
        self._prompt_tokens = max(prompt_tokens, non_cached_tokens)
        self._matches_key = PREFIX_MATCHES.of(prefix_match_info_producer_name)
        self._key = DISAGG_DECISION.of(name)
        self.reads = (self._matches_key,) if non_cached_tokens else ()
        self.optional_reads = (PROMPT,)
        self.writes = (self._key,)

    async def produce(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> None:
        """Publishes the decision."""
        tokens = state.get(PROMPT, Prompt()).tokens
        if not self._non_cached_tokens or tokens < self._prompt_tokens:
            state.write(self._key, _no)
            return
        uncached, least = UncachedRequestTokens(tokens, state.get(self._matches_key)), self._non_cached_tokens
        state.write(self._key, lambda endpoint: uncached.at(endpoint.name) >= least)


def _yes(_: Endpoint) -> bool:
    return True


def _no(_: Endpoint) -> bool:
    return False
