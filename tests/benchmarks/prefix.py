"""The approximate prefix producer: time of a lookup and of an insertion, and memory of its index."""

from collections.abc import Callable
from functools import partial

from turnout.framework import Prompt
from turnout.plugins.prefix_cache.approximate import MIN_BLOCK_SIZE_TOKENS
from turnout.plugins.prefix_cache.blocks import hash_bytes
from turnout.plugins.prefix_cache.index import PrefixIndex, bytes_per_block

from .figures import Figure, Plan, Value, in_turns, kept_per_item
from .pools import MODEL, chat_requests

KIB = 1024
PROMPTS = {"2 KB": 2 * KIB, "32 KB": 32 * KIB, "220 KB": 220 * KIB, "400 KB": 400 * KIB}
POOLS = (10, 100, 1_000)
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
    indexes = {pool: _filled(pool, chain) for pool in POOLS}
    index, turn = indexes[100], iter(range(10**9))
    calls: dict[str, Callable[[], object]] = {
        "hash": lambda: _hashes(prompt),
        "insert": lambda: index.add(f"e{next(turn) % 100}", chain, CAPACITY),
        "dict": lambda: dict.fromkeys(chain),
        **{f"look up at {pool:,}": partial(_look_up, index, prompt) for pool, index in indexes.items()},
    }
    samples = in_turns(calls, plan.pick(5, 3), plan.pick(200, 50))
    compared = {"insert": ("dict", "a dict of its blocks")}
    return [
        Figure("prefix", f"{what} {name}, p50", "s", samples[what].percentile(50), samples[base].percentile(50), words)
        for what in calls
        if what not in ("hash", "dict")
        for base, words in [compared.get(what, ("hash", "hashing alone"))]
    ]


def _filled(pool: int, chain: list[int]) -> PrefixIndex:
    """Every endpoint holds a longer part of the chain than the one before it."""
    index = PrefixIndex()
    for number in range(pool):
        index.add(f"e{number}", chain[: 1 + len(chain) * number // pool], CAPACITY)
    return index


def _look_up(index: PrefixIndex, prompt: Prompt) -> object:
    return index.match(_hashes(prompt))


def _hashes(prompt: Prompt) -> list[int]:
    return hash_bytes(prompt, MODEL, MIN_BLOCK_SIZE_TOKENS, LONGEST_CHAIN)


def _memory(plan: Plan) -> list[Figure]:
    blocks = plan.pick(200_000, 40_000)
    return [
        *(_memory_of(pool, blocks) for pool in POOLS),
        Figure(
            "prefix",
            "a block of one endpoint, at the worst of sizes",
            "bytes",
            Value(_bytes_per_block(_renew(plan.pick(43_800, 11_000)))),
            budget=float(bytes_per_block(1)),
        ),
    ]


def _memory_of(pool: int, blocks: int) -> Figure:
    """A chain of 32 blocks at two endpoints each, the ones of the highest numbers among them."""

    def fill(index: PrefixIndex) -> None:
        for number in reversed(range(pool)):
            index.add(f"e{number}", _chain(number, 1), blocks)
        for number in range(blocks // 64):
            for name in (number % pool, (number * 7 + 1) % pool):
                index.add(f"e{name}", _chain(pool + number, 32), blocks)

    what = f"a block of two of {pool:,} endpoints"
    return Figure("prefix", what, "bytes", Value(_bytes_per_block(fill)), budget=float(bytes_per_block(pool)))


def _renew(capacity: int) -> Callable[[PrefixIndex], None]:
    """Blocks that come and go; a third of a power of two leaves dictionaries the most room."""

    def fill(index: PrefixIndex) -> None:
        for number in range(5 * capacity // 16):
            index.add("e", _chain(number, 16), capacity)

    return fill


def _bytes_per_block(fill: Callable[[PrefixIndex], None]) -> float:
    """Bytes that the index keeps for a block of an endpoint, the hashes themselves included."""

    def filled() -> PrefixIndex:
        index = PrefixIndex()
        fill(index)
        return index

    return kept_per_item(filled)


def _chain(seed: int, blocks: int) -> list[int]:
    return hash_bytes(Prompt(seed.to_bytes(4, "big") * blocks), MODEL, 1, blocks)
