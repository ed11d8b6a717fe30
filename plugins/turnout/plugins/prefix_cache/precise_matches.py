"""Joins what events say of some endpoints with what is guessed of the others, for one request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from turnout.framework import Endpoint
from turnout.plugins.prefix_cache.blocks import chain_root, hash_tokens
from turnout.plugins.prefix_cache.engine_index import EngineIndex
from turnout.plugins.prefix_cache.held import Match
from turnout.plugins.prefix_cache.keys import PrefixMatches
from turnout.plugins.prefix_cache.kv_events import extras_of
from turnout.plugins.tokens.keys import TokenizedPrompt


@dataclass(frozen=True, slots=True)
class TokenChain:
    """The keys of a prompt's full blocks of one size. ``reusable`` is how many of them an engine takes from its cache:
    it always computes the last token anew.
    """

    keys: Sequence[int]
    reusable: int
    block_size: int


def chains_of(
    prompt: TokenizedPrompt, adapter: str, salt: str, block_sizes: Sequence[int], max_tokens: int
) -> Sequence[TokenChain]:
    """The prompt's chain for each block size, over at most ``max_tokens`` tokens."""
    root, tokens = chain_root("", salt, adapter), len(prompt)
    return [
        TokenChain(
            hash_tokens(
                prompt.token_ids, size, root, max_blocks=max(1, max_tokens // size), extras=_extras(prompt, size)
            ),
            max(0, tokens - 1) // size,
            size,
        )
        for size in block_sizes
    ]


def _extras(prompt: TokenizedPrompt, block_size: int) -> Mapping[int, bytes]:
    """What the engine's hash of a block covers beside its tokens: the content that lies in it, if only in part."""
    hashes: dict[int, list[str]] = {}
    for content in sorted(prompt.multimodal, key=lambda content: content.offset):
        first, last = content.offset // block_size, (content.offset + max(1, content.length) - 1) // block_size
        for number in range(first, min(last, len(prompt) // block_size) + 1):
            hashes.setdefault(number, []).append(content.content_hash)
    return {number: extras_of(contents) for number, contents in hashes.items()}


def join(
    index: EngineIndex,
    chains: Sequence[TokenChain],
    guessed: PrefixMatches,
    endpoints: Sequence[Endpoint],
    prompt_tokens: int,
    default_block_size: int,
) -> PrefixMatches:
    """The matches of all endpoints in blocks of the smallest size.

    An endpoint whose events are current has what they say; if its history is known in part only, or it is not believed
    at all, what was sent to it counts.
    """
    found = {chain.block_size: index.match(chain.keys[: chain.reusable]) for chain in chains}
    unit = min(found, default=default_block_size)
    total = max(0, prompt_tokens - 1) // unit
    blocks: dict[str, int] = {}
    weights: dict[str, float] = {}
    share = total / guessed.total_blocks if guessed.total_blocks else 0.0
    for endpoint in endpoints:
        name = endpoint.name
        followed = index.followed.get(name)
        match: Match | None = None
        held, is_complete = 0, False
        if followed is not None and followed.is_believed:
            # Before its first block an endpoint may be expected to hold some, of whatever size.
            size, is_complete = followed.blocks.block_size or unit, followed.knows_all
            match = found.get(size, _NONE).get(name)
            held = match.blocks * size // unit if match else 0
        if not is_complete:
            held = max(held, min(total, int(guessed.blocks.get(name, 0) * share)))
        if held:
            blocks[name] = held
        if match is not None and match.worth < match.blocks:
            weights[name] = match.worth / match.blocks
    return PrefixMatches(blocks, total, unit, weights, min(total, int(guessed.common_blocks * share)))


_NONE: Mapping[str, Match] = {}
