"""What producers of prefix matches publish about a request."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from turnout.framework import KeyFamily

DEFAULT_PRODUCER = "approx-prefix-cache-producer"

_ALL_FULL: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class PrefixMatches:
    """How much of one request's prompt each endpoint is believed to have cached.

    ``blocks`` gives, by endpoint name, how many of the prompt's leading blocks match; an endpoint without an
    entry has none. ``total_blocks`` is the number of blocks that were looked up, ``block_size_tokens`` the
    size of each; the last block may be shorter. ``weights`` gives, by endpoint name, what a matched block is worth
    on average where that is less than 1: blocks that the engine keeps in slower memory save less time.
    ``common_blocks`` is how many leading blocks most recent prompts share: what is in every cache before long.
    """

    blocks: Mapping[str, int]
    total_blocks: int
    block_size_tokens: int
    weights: Mapping[str, float] = field(default_factory=lambda: _ALL_FULL)
    common_blocks: int = 0


PREFIX_MATCHES: KeyFamily[PrefixMatches] = KeyFamily("prefix-matches", DEFAULT_PRODUCER)
