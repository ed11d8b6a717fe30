"""A run of the demo: fresh servers, a gateway, the workload, and what came of it."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass

import aiohttp

from turnout.epp.demo.gateways import MODEL, Gateway, started_gateway
from turnout.epp.demo.measurements import Measurements
from turnout.epp.demo.prompts import cached_prompts
from turnout.epp.demo.report import RunReport, summarise
from turnout.epp.demo.servers import read_counts
from turnout.epp.demo.workload import WorkloadOptions, generate
from turnout.epp.observe.decisions import StoredDecision
from turnout.epp.simulator.replay.assignments import Pool
from turnout.epp.simulator.replay.ceiling import Ceiling, find_ceiling

SERVERS = 4
# A KV cache of 98,304 tokens: four such servers hold the working set together, none of them holds it alone, as
# it is with real assistants and real GPUs.
BLOCK_TOKENS = 16
CACHE_BLOCKS = 6_144
EXPLAINED_SHARE = 1.0
# The search for the best assignment takes a few seconds: a change plays a part of the requests again.
MOST_CHANGES = 300
MOST_CHANGED_REQUESTS = 120_000


GATEWAYS: Mapping[str, tuple[str, ...]] = {
    "round-robin": ("--round-robin",),
    "least-request": ("--least-request",),
    "turnout": (),
}
"""The runs of the demo in their order: a name, and what `turnout up` is told besides the endpoints."""


def gateway(arguments: tuple[str, ...], seed: int) -> contextlib.AbstractAsyncContextManager[Gateway]:
    """Starts servers and a gateway before them, and stops all of it.

    Raises:
        ChildError: one of them did not start; raised on entering.
    """
    servers = [_server_arguments(seed + number) for number in range(SERVERS)]
    return started_gateway(servers, ("--explain-sample-rate", str(EXPLAINED_SHARE), *arguments))


def _server_arguments(seed: int) -> Sequence[str]:
    cache = ("--block-size", str(BLOCK_TOKENS), "--num-blocks", str(CACHE_BLOCKS))
    length = ("--max-model-len", str(CACHE_BLOCKS * BLOCK_TOKENS // 3))
    return ("--seed", str(seed), *cache, *length)


async def best_assignments(workload: WorkloadOptions, on_try: Callable[[], None]) -> Ceiling:
    """The best that assignments of the requests to these caches reached in some tries, without servers and time.

    ``on_try`` hears of each try, in another thread.
    """
    prompts = cached_prompts(generate(workload), BLOCK_TOKENS)
    pool = Pool(SERVERS, CACHE_BLOCKS * BLOCK_TOKENS, workload.seed)
    changes = min(MOST_CHANGES, MOST_CHANGED_REQUESTS // max(1, len(prompts)))
    return await asyncio.to_thread(find_ceiling, prompts, pool, changes, on_try)


class DemoNotInstalledError(Exception):
    """The extra of the demo is missing."""


def _client() -> Callable[..., Coroutine[None, None, Measurements]]:
    # Half a second of imports that no other command needs, of a package that nobody needs in production.
    try:
        from turnout.epp.demo.client import drive  # noqa: PLC0415
    except ModuleNotFoundError as missing:
        raise DemoNotInstalledError(f"{missing}. Run: pip install 'turnout[demo]'") from None
    return drive


async def measure(arguments: tuple[str, ...], workload: WorkloadOptions, on_answer: Callable[[], None]) -> "Run":
    """Runs the workload through one gateway.

    Raises:
        ChildError: a server or the gateway did not start.
        DemoNotInstalledError: the official OpenAI client is not there.
    """
    drive = _client()
    async with gateway(arguments, workload.seed) as started:
        seen = await drive(f"{started.url}/v1", MODEL, generate(workload), on_answer)
        report = summarise(seen, await read_counts(started.server_urls))
        decision = await _telling_decision(started.admin_url) if started.admin_url else None
    return Run(report, decision, dict(seen.errors))


@dataclass(frozen=True, slots=True)
class Run:
    """The figures of a run, one decision of it that is worth reading, and its errors by kind."""

    report: RunReport
    decision: StoredDecision | None
    errors: Mapping[str, int]


async def _telling_decision(admin_url: str) -> StoredDecision | None:
    """Of the latest decisions the one whose scorers disagreed most, since that one shows what weights do."""
    async with aiohttp.ClientSession() as session, session.get(f"{admin_url}/decisions?n=200") as response:
        response.raise_for_status()
        documents = (await response.json())["decisions"]
    decisions = [StoredDecision.from_dict(document) for document in documents]
    return max(decisions, key=_disagreement, default=None)


def _disagreement(decision: StoredDecision) -> float:
    """The pick's distance to the best score, summed over the scorers."""
    profile = decision.profiles[0]
    if not profile.picked:
        return 0.0
    best_by_scorer = (
        max((value or 0.0) for value in scorer.weighted.values()) - (scorer.weighted.get(profile.picked[0]) or 0.0)
        for scorer in profile.scorers
        if scorer.weighted
    )
    return sum(best_by_scorer)
