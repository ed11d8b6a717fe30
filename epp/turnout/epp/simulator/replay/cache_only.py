"""The prefix caches of a pool without time: what a trace's requests find where they are sent, in their order.

Each server has one cache of so many tokens, in blocks of the trace (512 tokens). A request finds the leading blocks
of its prompt that are there, never its last token, and leaves its whole prompt and answer behind. What was used
longest ago goes first, of one request its tail before its head. Requests take no time here and hold no blocks, so
that an engine under load finds less.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from turnout.epp.simulator.replay.trace import BLOCK_TOKENS, TracedRequest


@dataclass(frozen=True, slots=True)
class CachedPrompt:
    """A request in terms of caches; ``nodes`` name its prefixes, shortest first, each longer by ``weights`` tokens.

    Tokens that fill no block of the engine do not count. ``most_cached`` is what can be found of it at best.
    """

    nodes: tuple[int, ...]
    weights: tuple[int, ...]
    answer: int
    answer_tokens: int
    prompt_tokens: int
    most_cached: int


def cached_prompts(requests: Iterable[TracedRequest], block_size: int) -> list[CachedPrompt]:
    """The requests in terms of caches with blocks of ``block_size`` tokens."""
    nodes: dict[tuple[int, int, int], int] = {}
    return [_cached_prompt(request, -1 - number, block_size, nodes) for number, request in enumerate(requests)]


def _cached_prompt(
    request: TracedRequest, answer: int, block_size: int, nodes: dict[tuple[int, int, int], int]
) -> CachedPrompt:
    chain: list[int] = []
    weights: list[int] = []
    parent = -1
    for place, hash_id in enumerate(request.hash_ids):
        tokens = min(BLOCK_TOKENS, request.input_tokens - place * BLOCK_TOKENS)
        parent = nodes.setdefault((parent, hash_id, tokens), len(nodes))
        chain.append(parent)
        weights.append(tokens // block_size * block_size)
    return CachedPrompt(
        nodes=tuple(chain),
        weights=tuple(weights),
        answer=answer,
        answer_tokens=request.output_tokens // block_size * block_size,
        prompt_tokens=request.input_tokens,
        most_cached=(request.input_tokens - 1) // block_size * block_size,
    )


class PrefixCache:
    """The cache of one server; at most ``capacity`` tokens once a request is served."""

    def __init__(self, capacity: float) -> None:
        self._capacity = capacity
        self._size = 0
        self._weights: OrderedDict[int, int] = OrderedDict()

    def matched(self, prompt: CachedPrompt) -> int:
        """Tokens of the prompt that are here, whether or not the last one is worth it."""
        found = 0
        for node, weight in zip(prompt.nodes, prompt.weights, strict=True):
            if node not in self._weights:
                break
            found += weight
        return found

    def serve(self, prompt: CachedPrompt) -> int:
        """Takes the prompt and its answer in; returns the tokens of the prompt that were found."""
        found = min(self.matched(prompt), prompt.most_cached)
        self._use(prompt.answer, prompt.answer_tokens)
        for node, weight in zip(reversed(prompt.nodes), reversed(prompt.weights), strict=True):
            self._use(node, weight)
        while self._size > self._capacity:
            _, weight = self._weights.popitem(last=False)
            self._size -= weight
        return found

    def _use(self, node: int, weight: int) -> None:
        if node in self._weights:
            self._weights.move_to_end(node)
        else:
            self._weights[node] = weight
            self._size += weight


def play(prompts: Iterable[CachedPrompt], capacity: float) -> int:
    """Tokens found by these prompts, one after the other, at one server."""
    cache = PrefixCache(capacity)
    return sum(cache.serve(prompt) for prompt in prompts)
