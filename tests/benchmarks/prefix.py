"""The approximate prefix producer: time of a lookup and of an insertion, and memory of its index."""

import tracemalloc
from collections.abc import Callable

from turnout.framework import Prompt
from turnout.plugins.prefix_cache.approximate import MIN_BLOCK_SIZE_TOKENS
from turnout.plugins.prefix_cache.blocks import hash_bytes
from turnout.plugins.prefix_cache.index import PrefixIndex

from .figures import Figure, Plan, Value, in_turns
from .pools import MODEL, chat_requests

KIB = 1024
PROMPTS = {"2 KB": 2 * KIB, "32 KB": 32 * KIB, "220 KB": 220 * KIB, "400 KB": 400 * KIB}
# What PrefixIndex documents.
BYTES_PER_BLOCK = 220.0
CAPACITY = 31_250
LONGEST_CHAIN = 100_000


async def prefix_producer(plan: Plan) -> list[Figure]:
    """Hashing is the baseline of a lookup; a plain dict of the same blocks is that of an insertion."""
    figures = []
    for name, size in PROMPTS.items():
        figures.extend(_prompt(plan, name, size))
        plan.advance(0.25)
    return [*figures, *_memory(plan)]


def _prompt(plan: Plan, name: str, size: int) -> list[Figure]:
    prompt = chat_requests(size, 1)[0].parsed.prompt or Prompt()
    chain = _hashes(prompt)
    index = PrefixIndex()
    for number in range(100):
        index.add(f"default/vllm-{number}", chain[: 1 + len(chain) * number // 100], CAPACITY)
    names = [f"default/vllm-{number}" for number in range(100)]
    turn = iter(range(10**9))
    calls: dict[str, Callable[[], object]] = {
        "hash": lambda: _hashes(prompt),
        "look up": lambda: index.match(_hashes(prompt)),
        "insert": lambda: index.add(names[next(turn) % 100], chain, CAPACITY),
        "dict": lambda: dict.fromkeys(chain),
    }
    samples = in_turns(calls, plan.pick(5, 3), plan.pick(200, 50))
    pairs = (("look up", "hash", "hashing alone"), ("insert", "dict", "a dict of its blocks"))
    return [
        Figure("prefix", f"{what} {name}, p50", "s", samples[what].percentile(50), samples[base].percentile(50), words)
        for what, base, words in pairs
    ]


def _hashes(prompt: Prompt) -> list[int]:
    return hash_bytes(prompt, MODEL, MIN_BLOCK_SIZE_TOKENS, LONGEST_CHAIN)


def _memory(plan: Plan) -> list[Figure]:
    blocks = plan.pick(200_000, 40_000)
    own = _bytes_per_block(100, blocks // 100, shared=False)
    shared = _bytes_per_block(8, blocks // 8, shared=True)
    return [
        Figure("prefix", "a block that one endpoint holds", "bytes", Value(own), budget=BYTES_PER_BLOCK),
        Figure("prefix", "a block of each of 8 that hold it", "bytes", Value(shared), budget=BYTES_PER_BLOCK),
    ]


def _bytes_per_block(endpoints: int, blocks: int, *, shared: bool) -> float:
    """Bytes that the index keeps for a block of an endpoint, the hashes themselves included."""
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    index = PrefixIndex()
    chains = [_chain(0 if shared else number, blocks) for number in range(1 if shared else endpoints)]
    for number in range(endpoints):
        index.add(f"default/vllm-{number}", chains[number % len(chains)], blocks)
    del chains
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return (after - before) / len(index)


def _chain(seed: int, blocks: int) -> list[int]:
    return hash_bytes(Prompt(seed.to_bytes(4, "big") * blocks), MODEL, 1, blocks)
