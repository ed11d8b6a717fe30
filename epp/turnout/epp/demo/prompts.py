"""The requests of a workload in terms of prefix caches, for assignments that are judged without time.

Prompts are counted as the servers count them: blocks of tokens, and an answer that comes back in the next prompt is
found there. The order of the requests is an assumption, since it depends on how fast the answers are: each answer
takes ``FIRST_TOKEN_SECONDS`` and ``TOKEN_SECONDS`` for each of its tokens, about what an idle server takes when half
of the prompt is cached.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, pairwise

from turnout.epp.demo.workload import Conversation
from turnout.epp.simulator.blocks import extend_hashes
from turnout.epp.simulator.replay.cache_only import CachedPrompt
from turnout.epp.simulator.tokens import chat_tokens, detokenize, generate_words

FIRST_TOKEN_SECONDS = 0.1
TOKEN_SECONDS = 0.01

# 512 tokens, as in traces: caches evict by nodes, and ten thousands of single blocks would take a minute to search.
MOST_BLOCKS_OF_NODE = 32


@dataclass(frozen=True, slots=True)
class _Request:
    arrival: float
    prompt: array[int]
    answer: array[int]


@dataclass(frozen=True, slots=True)
class _Chain:
    """Names of the whole blocks that a request leaves behind; those of the prompt come first."""

    blocks: Sequence[int]
    in_prompt: int


def cached_prompts(conversations: Iterable[Conversation], block_size: int) -> list[CachedPrompt]:
    """The conversations' requests in order of arrival, in caches with blocks of ``block_size`` tokens.

    Prompts fill at least one block, and answers at most 32.
    """
    requests = sorted(_requests(conversations), key=lambda request: request.arrival)
    chains = [_chain(request, block_size) for request in requests]
    last = _last_blocks(chains)
    return [
        _cached_prompt(number, request, chain, last, block_size)
        for number, (request, chain) in enumerate(zip(requests, chains, strict=True))
    ]


def _requests(conversations: Iterable[Conversation]) -> Iterator[_Request]:
    seeds = count()
    for conversation in conversations:
        now = conversation.start
        messages = [("system", conversation.system_prompt)]
        for turn in conversation.turns:
            now += turn.pause
            messages.append(("user", turn.question))
            # The servers draw other words; only the length of an answer and that no other is equal matter here.
            answer = generate_words(next(seeds), turn.answer_tokens)
            yield _Request(now, chat_tokens(messages), answer)
            messages.append(("assistant", detokenize(answer)))
            now += FIRST_TOKEN_SECONDS + TOKEN_SECONDS * turn.answer_tokens


def _chain(request: _Request, block_size: int) -> _Chain:
    # The last token of an answer is never computed: nothing follows it.
    left = request.prompt + request.answer[:-1]
    names: list[int] = []
    extend_hashes(names, 0, left, block_size, len(left) // block_size)
    return _Chain(names, len(request.prompt) // block_size)


def _last_blocks(chains: Iterable[_Chain]) -> set[int]:
    """Blocks behind which a node ends: the last of a prompt or an answer, and the last that prompts have in common."""
    users: Counter[int] = Counter()
    last: set[int] = set()
    for chain in chains:
        users.update(chain.blocks[: chain.in_prompt])
        last.update(chain.blocks[chain.in_prompt - 1 : chain.in_prompt], chain.blocks[-1:])
    for chain in chains:
        last.update(block for block, following in pairwise(chain.blocks) if users[block] != users[following])
    return last


def _cached_prompt(
    number: int, request: _Request, chain: _Chain, last: Collection[int], block_size: int
) -> CachedPrompt:
    nodes = dict(_nodes(chain.blocks[: chain.in_prompt], last))
    answer, answer_blocks = next(_nodes(chain.blocks[chain.in_prompt :], last), (-1 - number, 0))
    return CachedPrompt(
        nodes=tuple(nodes),
        weights=tuple(blocks * block_size for blocks in nodes.values()),
        answer=answer,
        answer_tokens=answer_blocks * block_size,
        prompt_tokens=len(request.prompt),
        most_cached=(len(request.prompt) - 1) // block_size * block_size,
    )


def _nodes(blocks: Iterable[int], last: Collection[int]) -> Iterator[tuple[int, int]]:
    """Consecutive blocks that the same prompts begin with, named by the last one, and how many they are."""
    length = 0
    for block in blocks:
        length += 1
        if block in last or length == MOST_BLOCKS_OF_NODE:
            yield block, length
            length = 0
