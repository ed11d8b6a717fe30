"""One scheduling cycle, the prefix lookup included, and how it grows with the pool."""

import time

from turnout.epp.observe.metrics import Metrics
from turnout.epp.observe.timed import timed_scheduler

from .figures import Figure, Plan, Samples, in_turns
from .pools import Decider, default_decider, random_decider

P50_SECONDS = 150e-6
P99_SECONDS = 1e-3
P99_SECONDS_1000 = 5e-3
# Ten times the endpoints, ten times the time.
LINEAR_GROWTH = 10.0
POOL_SIZES = (10, 100, 1000)


async def one_cycle(plan: Plan) -> list[Figure]:
    """100 endpoints, the default profile, 2 KB prompts."""
    decider, chance = default_decider(100), random_decider(100)
    calls = {
        "default": decider.decide,
        "random": chance.decide,
        "min": lambda: min(decider.pool, key=lambda endpoint: endpoint.metrics.waiting_queue_size),
        "served": _as_served(default_decider(100)).decide,
    }
    samples = in_turns(calls, plan.pick(7, 3), plan.pick(1500, 300))
    default, served = samples["default"], samples["served"]
    return [
        *_percentiles(default, samples["random"], "random picker only"),
        _against(default, samples["min"], "the same, p50", "min() over the pool"),
        _against(served, default, "as served (each plugin timed), p50", "untimed"),
    ]


async def pool_sizes(plan: Plan) -> list[Figure]:
    """The same cycle over small and large pools, and how much a pool of 1,000 costs over one of 100."""
    deciders = {str(size): default_decider(size) for size in POOL_SIZES}
    calls = {name: decider.decide for name, decider in deciders.items()}
    samples = in_turns(calls, plan.pick(5, 3), plan.pick(500, 100))
    figures = []
    for name in calls:
        figures.append(Figure("pool-size", f"{name} endpoints, p50", "s", samples[name].percentile(50)))
        budget = {"100": P99_SECONDS, "1000": P99_SECONDS_1000}.get(name)
        figures.append(Figure("pool-size", f"{name} endpoints, p99", "s", samples[name].percentile(99), budget=budget))
    growth = samples["1000"].over(samples["100"], 50)
    return [*figures, Figure("pool-size", "1000 endpoints over 100, p50", "x", growth, budget=LINEAR_GROWTH)]


def _percentiles(measured: Samples, baseline: Samples, words: str) -> list[Figure]:
    budgets = ((50, P50_SECONDS), (99, P99_SECONDS))
    return [
        Figure(
            "cycle",
            f"100 endpoints, with prefix lookup, p{percent}",
            "s",
            measured.percentile(percent),
            baseline.percentile(percent),
            words,
            budget,
        )
        for percent, budget in budgets
    ]


def _against(measured: Samples, baseline: Samples, what: str, words: str) -> Figure:
    return Figure("cycle", what, "s", measured.percentile(50), baseline.percentile(50), words)


def _as_served(decider: Decider) -> Decider:
    types = {name: origin.type for name, origin in decider.pipeline.origins.items()}
    decider.scheduler = timed_scheduler(decider.pipeline.scheduler, Metrics(), types, time.perf_counter)
    return decider
