"""Ways to assign a trace's requests to servers, some of which know what is to come."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random

import xxhash

from turnout.epp.simulator.replay.cache_only import CachedPrompt, PrefixCache

Assignment = list[int]
"""The server of each request, counted from 0."""

MOST_HASHED_BLOCKS = 8
MOST_RESERVED_SERVERS = 3


@dataclass(frozen=True, slots=True)
class Pool:
    """Servers with a cache of ``capacity`` tokens each."""

    servers: int
    capacity: int
    seed: int


@dataclass(frozen=True, slots=True)
class Strategy:
    """A way to assign; with ``foresight`` it looks at requests that have yet to come."""

    name: str
    assign: Callable[[], Assignment]
    foresight: bool


def strategies(prompts: Sequence[CachedPrompt], pool: Pool) -> Iterator[Strategy]:
    """Every way to assign these prompts."""
    clusters = _clusters(prompts, pool.servers)
    for name, rank in _TIE_BREAKS.items():
        assign = partial(_longest_match, prompts, pool, clusters, rank)
        yield Strategy(f"longest match, ties by {name}", assign, foresight=False)
    for count in range(1, MOST_HASHED_BLOCKS + 1):
        yield Strategy(f"hash of {count} blocks", partial(_hashed, prompts, pool, count), foresight=False)
    for reserved in range(min(MOST_RESERVED_SERVERS + 1, pool.servers)):
        aside = f", what never returns on {reserved} of the servers" if reserved else ""
        packed = partial(_packed, prompts, pool, clusters, reserved)
        yield Strategy(f"clusters packed by size{aside}", packed, foresight=True)
        packed = partial(_packed_in_time, prompts, pool, clusters, reserved)
        yield Strategy(f"clusters packed by time{aside}", packed, foresight=True)


def _clusters(prompts: Sequence[CachedPrompt], servers: int) -> list[int]:
    """For each prompt the first node of it that is no part of the trunk; equal nodes share a longer prefix.

    The trunk is what a server's share of all requests or more have in common: it will be everywhere.
    """
    users = Counter(node for prompt in prompts for node in prompt.nodes)
    widely_used = len(prompts) / servers
    return [next((node for node in prompt.nodes if users[node] < widely_used), prompt.nodes[-1]) for prompt in prompts]


# --- without knowledge of the future ---------------------------------------------------------------------


@dataclass(slots=True)
class _Server:
    cache: PrefixCache
    number: int
    prompt_tokens: int = 0
    computed_tokens: int = 0


_Rank = Callable[[_Server, CachedPrompt, int, Random], float]
"""Of the servers with the longest match the one with the lowest rank is taken."""

_TIE_BREAKS: dict[str, _Rank] = {
    "fewest tokens sent": lambda server, _, __, ___: server.prompt_tokens,
    "fewest tokens computed": lambda server, _, __, ___: server.computed_tokens,
    "hash of the cluster": lambda server, _, cluster, __: _mixed(cluster, server.number),
    "at random": lambda _, __, ___, random: random.random(),
}


def _longest_match(prompts: Sequence[CachedPrompt], pool: Pool, clusters: Sequence[int], rank: _Rank) -> Assignment:
    random = Random(pool.seed)
    servers = [_Server(PrefixCache(pool.capacity), number) for number in range(pool.servers)]
    assignment: Assignment = []
    for prompt, cluster in zip(prompts, clusters, strict=True):
        trunk = sum(prompt.weights[: prompt.nodes.index(cluster)])
        matches = [max(trunk, server.cache.matched(prompt)) for server in servers]
        longest = max(matches)
        tied = [server for server, match in zip(servers, matches, strict=True) if match == longest]
        chosen = min(tied, key=lambda server: rank(server, prompt, cluster, random))
        chosen.prompt_tokens += prompt.prompt_tokens
        chosen.computed_tokens += prompt.prompt_tokens - chosen.cache.serve(prompt)
        assignment.append(chosen.number)
    return assignment


def _hashed(prompts: Sequence[CachedPrompt], pool: Pool, count: int) -> Assignment:
    return [_mixed(prompt.nodes[min(count, len(prompt.nodes)) - 1], 0) % pool.servers for prompt in prompts]


def _mixed(node: int, seed: int) -> int:
    return xxhash.xxh3_64_intdigest(node.to_bytes(8, "little"), seed=seed)


# --- with knowledge of the future ------------------------------------------------------------------------


@dataclass(slots=True)
class _Cluster:
    """Requests that share a prefix: how many, when the first and the last come, and the distinct tokens of all."""

    requests: int = 0
    first: int = 0
    last: int = 0
    tokens: int = 0


def _measured(prompts: Sequence[CachedPrompt], clusters: Sequence[int]) -> dict[int, _Cluster]:
    measured: dict[int, _Cluster] = {}
    seen: set[int] = set()
    for number, (prompt, key) in enumerate(zip(prompts, clusters, strict=True)):
        cluster = measured.setdefault(key, _Cluster(first=number))
        cluster.requests += 1
        cluster.last = number
        for node, weight in zip(prompt.nodes, prompt.weights, strict=True):
            if node not in seen:
                seen.add(node)
                cluster.tokens += weight
    return measured


def _packed(prompts: Sequence[CachedPrompt], pool: Pool, clusters: Sequence[int], reserved: int) -> Assignment:
    """Whole clusters, the largest first, each to the server with the fewest distinct tokens."""
    measured = _measured(prompts, clusters)
    loads = [0] * pool.servers
    home: dict[int, int] = {}
    for key in sorted(measured, key=lambda key: measured[key].tokens, reverse=True):
        server = min(_offered(measured[key], pool, reserved), key=loads.__getitem__)
        loads[server] += measured[key].tokens
        home[key] = server
    return [home[key] for key in clusters]


def _packed_in_time(prompts: Sequence[CachedPrompt], pool: Pool, clusters: Sequence[int], reserved: int) -> Assignment:
    """Whole clusters as they begin, each to the server with the fewest tokens of clusters that are not over."""
    measured = _measured(prompts, clusters)
    loads = [0] * pool.servers
    ending: defaultdict[int, list[int]] = defaultdict(list)
    home: dict[int, int] = {}
    for number, key in enumerate(clusters):
        cluster = measured[key]
        if key not in home:
            home[key] = min(_offered(cluster, pool, reserved), key=loads.__getitem__)
            loads[home[key]] += cluster.tokens
            ending[cluster.last].append(key)
        for over in ending.pop(number, ()):
            loads[home[over]] -= measured[over].tokens
    return [home[key] for key in clusters]


def _offered(cluster: _Cluster, pool: Pool, reserved: int) -> range:
    """The last ``reserved`` servers take the clusters of one request, so that these push nothing out elsewhere."""
    if not reserved:
        return range(pool.servers)
    kept = pool.servers - reserved
    return range(kept, pool.servers) if cluster.requests == 1 else range(kept)
