"""The precise prefix producer: lookups by token ids, events taken in, and memory of what engines announced."""

import random
from array import array
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from turnout.epp.simulator.blocks import BlockRemoved, BlockStored
from turnout.epp.simulator.kv_events import EventEncoder
from turnout.framework import CycleState, Endpoint, ProfileResult, SchedulingResult
from turnout.plugins.prefix_cache.approximate import ApproxPrefixCacheProducer
from turnout.plugins.prefix_cache.blocks import chain_root, hash_tokens
from turnout.plugins.prefix_cache.engine_blocks import EngineBlocks, KnownAdapters
from turnout.plugins.prefix_cache.engine_index import EngineIndex
from turnout.plugins.prefix_cache.held import BYTES_PER_BLOCK, HeldBlocks, Site
from turnout.plugins.prefix_cache.kv_events import decode_batch
from turnout.plugins.prefix_cache.precise import PrecisePrefixCacheProducer
from turnout.plugins.prefix_cache.publishers import Publisher
from turnout.plugins.prefix_cache.tiers import DEFAULT_BACKENDS, Tiers
from turnout.plugins.tokens.keys import TOKENIZED_PROMPT, TokenizedPrompt

from .figures import Figure, Plan, Value, in_turns, kept_per_item
from .pools import Asked, chat_requests, endpoints
from .prefix import KIB, POOLS, PROMPTS

BLOCK_SIZE = 16
BYTES_PER_TOKEN = 4
WEIGHTS = Tiers(DEFAULT_BACKENDS).weights
ROOT = chain_root("", "")
ROOMY = 10**9
EVENT_BLOCKS = 128
PRODUCE_POOLS = (100, 1_000)
Producer = PrecisePrefixCacheProducer | ApproxPrefixCacheProducer
DROPPED = (1_000, 10_000, 100_000)


async def precise_producer(plan: Plan) -> list[Figure]:
    """Hashing is the baseline of a lookup, decoding that of a batch of events, the approximate producer of a whole."""
    figures = []
    for name, size in PROMPTS.items():
        figures.extend(_lookups(plan, name, size))
        plan.advance(0.15)
    figures += _produced(plan)
    figures += _events(plan)
    plan.advance(0.15)
    return [*figures, *_dropped(plan), *_memory(plan)]


# --- looking up ------------------------------------------------------------------------------------------


def _lookups(plan: Plan, name: str, size: int) -> list[Figure]:
    token_ids = _tokens(1, size // BYTES_PER_TOKEN)
    chain = _hashes(token_ids)
    calls: dict[str, Callable[[], object]] = {"hash": partial(_hashes, token_ids)}
    for pool in POOLS:
        for tiers in (1, 2):
            plural = "s" if tiers > 1 else ""
            calls[f"look up {name} at {pool:,}, {tiers} tier{plural}, p50"] = partial(
                _look_up, _filled(pool, chain, tiers), token_ids
            )
    samples = in_turns(calls, plan.pick(5, 3), plan.pick(200, 50))
    hashing = samples["hash"].percentile(50)
    return [
        Figure("precise", what, "s", samples[what].percentile(50), hashing, "hashing alone")
        for what in calls
        if what != "hash"
    ]


def _filled(pool: int, chain: Sequence[int], tiers: int) -> HeldBlocks:
    """Every endpoint holds a longer part of the chain than the one before it; with two tiers, half of that in each."""
    held = HeldBlocks(WEIGHTS, ROOMY)
    for number in range(pool):
        site = held.join(f"e{number}")
        own = chain[: 1 + len(chain) * number // pool]
        fast = len(own) if tiers == 1 else len(own) // 2
        held.store(site, 0, _named(own[:fast]))
        held.store(site, 1, _named(own[fast:]))
    return held


def _look_up(held: HeldBlocks, token_ids: bytes) -> object:
    return held.match(_hashes(token_ids))


def _produced(plan: Plan) -> list[Figure]:
    """All of ``produce``: every endpoint has announced a part of the prompt, and one is expected to have all of it."""
    asked = chat_requests(32 * KIB, 1)[0]
    token_ids = _tokens(1, 32 * KIB // BYTES_PER_TOKEN)
    calls: dict[str, Callable[[], object]] = {}
    for pool in PRODUCE_POOLS:
        candidates = endpoints(pool)
        precise = PrecisePrefixCacheProducer(speculative_indexing=True)
        _announce(precise._index, candidates, token_ids)
        _dispatch(precise, asked, token_ids, candidates)
        guess = ApproxPrefixCacheProducer()
        _dispatch(guess, asked, token_ids, candidates)
        calls[f"precise at {pool:,}"] = partial(_produce, precise, asked, token_ids, candidates)
        calls[f"guess at {pool:,}"] = partial(_produce, guess, asked, token_ids, candidates)
    samples = in_turns(calls, plan.pick(5, 3), plan.pick(200, 50))
    return [
        Figure(
            "precise",
            f"produce() for 32 KB at {pool:,}, p50",
            "s",
            samples[f"precise at {pool:,}"].percentile(50),
            samples[f"guess at {pool:,}"].percentile(50),
            "the approximate one, one holder",
        )
        for pool in PRODUCE_POOLS
    ]


def _dispatch(producer: Producer, asked: Asked, token_ids: bytes, candidates: tuple[Endpoint, ...]) -> None:
    state = _produce(producer, asked, token_ids, candidates)
    result = SchedulingResult("default", {"default": ProfileResult("default", candidates[:1], ())})
    producer.pre_request(asked.request, state, result)


def _announce(index: EngineIndex, pool: Sequence[Endpoint], token_ids: bytes) -> None:
    """Every endpoint has announced a longer part of the prompt than the one before it."""
    index.follow({endpoint.name: Publisher(f"tcp://{endpoint.address}:5557", "tcp://replay") for endpoint in pool}, 0.0)
    blocks = len(token_ids) // (BLOCK_SIZE * BYTES_PER_TOKEN)
    tokens = array("I", token_ids)
    for number, endpoint in enumerate(pool):
        followed = index.followed[endpoint.name]
        batch = _store_batch(range(1 + blocks * number // len(pool)), tokens)
        index.act(followed, followed.stream.connected(0.0))
        index.act(followed, followed.stream.replayed([(0, batch)], 0.0))


def _produce(producer: Producer, asked: Asked, token_ids: bytes, candidates: Sequence[Endpoint]) -> CycleState:
    state = asked.state()
    state.write(TOKENIZED_PROMPT.of(""), TokenizedPrompt(token_ids))
    try:
        producer.produce(asked.request, state, candidates).send(None)
    except StopIteration:
        return state
    raise RuntimeError("the producer waits, and this measures no waiting")


# --- events ----------------------------------------------------------------------------------------------


def _events(plan: Plan) -> list[Figure]:
    """128 blocks of a prompt announced in one event, and 128 evictions in one batch, one event each as vLLM has it."""
    times = plan.pick(200, 50)
    stored, removed = _batches(times)
    held, tiers, adapters = HeldBlocks(WEIGHTS, ROOMY), Tiers(DEFAULT_BACKENDS), KnownAdapters()
    publishers = [EngineBlocks(f"e{number}", held, tiers, adapters) for number in range(100)]
    for publisher in publishers:
        publisher.apply(decode_batch(stored[-1]))
    stores, removals = _turn_of(publishers, stored), _turn_of(publishers, removed)
    calls = {
        "store": lambda: next(stores),
        "remove": lambda: next(removals),
        "decode store": lambda: decode_batch(stored[0]),
        "decode remove": lambda: decode_batch(removed[0]),
    }
    samples = in_turns(calls, plan.pick(5, 3), times)
    return [
        Figure(
            "precise",
            f"a batch of events that {words} 128 blocks, p50",
            "s",
            samples[what].percentile(50),
            samples[f"decode {what}"].percentile(50),
            "decoding alone",
        )
        for what, words in (("store", "stores"), ("remove", "removes"))
    ]


def _batches(count: int) -> tuple[list[bytes], list[bytes]]:
    stored, removed = [], []
    encoder = EventEncoder(BLOCK_SIZE, ())
    for seed in range(count):
        names = range(2**62 + seed * EVENT_BLOCKS, 2**62 + (seed + 1) * EVENT_BLOCKS)
        stored.append(_store_batch(names, array("I", _tokens(seed, EVENT_BLOCKS * BLOCK_SIZE))))
        removed.append(encoder.encode([BlockRemoved(name) for name in names], 0.0))
    return stored, removed


def _turn_of(publishers: Sequence[EngineBlocks], batches: Sequence[bytes]) -> Iterator[None]:
    while True:
        for number, batch in enumerate(batches):
            publishers[number % len(publishers)].apply(decode_batch(batch))
            yield


def _store_batch(names: Sequence[int], tokens: "array[int]") -> bytes:
    event = BlockStored(tuple(names), None, tokens[: len(names) * BLOCK_SIZE], None, None)
    return EventEncoder(BLOCK_SIZE, ()).encode([event], 0.0)


# --- endpoints that go -----------------------------------------------------------------------------------


def _dropped(plan: Plan) -> list[Figure]:
    """Beside 100 endpoints with 2,000 blocks of their own."""
    held = HeldBlocks(WEIGHTS, ROOMY)
    for number in range(100):
        held.store(held.join(f"e{number}"), 0, _named(_own(number, 2_000)))
    site = held.join("leaving")
    return [_dropping(plan, held, site, blocks) for blocks in (DROPPED[:-1] if plan.quick else DROPPED)]


def _dropping(plan: Plan, held: HeldBlocks, site: Site, blocks: int) -> Figure:
    own = _own(10_000, blocks)

    def drop() -> None:
        held.clear(site)
        held.tidy(blocks)

    calls = {"fill": lambda: held.store(site, 0, _named(own)), "drop": drop}
    taken = in_turns(calls, plan.pick(7, 3), 1)["drop"].percentile(50)
    what = f"an endpoint with {blocks:,} blocks dropped, for each"
    return Figure("precise", what, "s", Value(taken.median / blocks, taken.noise))


# --- memory ----------------------------------------------------------------------------------------------


def _memory(plan: Plan) -> list[Figure]:
    blocks = plan.pick(200_000, 40_000)
    # A third of a power of two leaves dictionaries the most room, also those of each of 1,000 endpoints.
    churn = plan.pick(43_800, 11_000)
    kept = {
        **{f"a block of one of {pool:,} endpoints": _bytes_per_block(pool, 1, 32, blocks) for pool in POOLS},
        **{f"a block of two of {pool:,} endpoints": _bytes_per_block(pool, 2, 32, blocks) for pool in POOLS},
        "a block of one endpoint, at the worst of sizes": _bytes_per_block(1, 1, 32, 5 * churn, churn),
        "a block of two of 1,000, each in other company": _bytes_per_block(1_000, 2, 1, 5 * churn, churn),
    }
    return [
        Figure("precise", what, "bytes", Value(measured), budget=float(BYTES_PER_BLOCK))
        for what, measured in kept.items()
    ]


def _bytes_per_block(pool: int, holders: int, length: int, blocks: int, most: int = ROOMY) -> float:
    """With the engines' names and our keys, each an object of its own as events make them.

    Chains of some length come to so many endpoints each, in turn; above ``most`` blocks the oldest go.
    """
    held = HeldBlocks(WEIGHTS, ROOMY)
    sites = [held.join(f"e{number}") for number in range(pool)]

    def filled() -> HeldBlocks:
        for number in range(blocks // length // holders):
            for holder in range(holders):
                held.store(_holder(sites, number, holder), 0, _named(_own(number, length)))
            if (oldest := number - most // length // holders) >= 0:
                names = [name for name, _ in _named(_own(oldest, length))]
                for holder in range(holders):
                    held.remove(_holder(sites, oldest, holder), 0, names)
        return held

    return kept_per_item(filled)


def _holder(sites: Sequence[Site], number: int, holder: int) -> Site:
    """The second one far from the first."""
    return sites[(number + holder * (1 + len(sites) // 2)) % len(sites)]


# --- blocks ----------------------------------------------------------------------------------------------


def _tokens(seed: int, count: int) -> bytes:
    return random.Random(seed).randbytes(count * BYTES_PER_TOKEN)


def _hashes(token_ids: bytes) -> list[int]:
    return hash_tokens(token_ids, BLOCK_SIZE, ROOT)


def _own(seed: int, blocks: int) -> list[int]:
    """Keys of a chain that no other seed has."""
    return hash_tokens(seed.to_bytes(4, "big") * blocks, 1, ROOT)


def _named(keys: Sequence[int]) -> Sequence[tuple[int, int]]:
    """The keys with names as long as an engine's."""
    return [(key ^ 1, key) for key in keys]
