"""What the picker adds to a request behind a real Envoy, one request at a time."""

import contextlib
import itertools
import random
import time
from collections.abc import Iterator, Mapping

from .figures import Figure, Plan, Samples
from .gateways import BUFFERED, FULL_DUPLEX, ROUND_ROBIN, Connection, connections, gateways
from .pools import chat_body

KIB = 1024
# Name -> (bytes of the prompt, budget of the median in seconds).
PROMPTS = {"2 KB": (2 * KIB, 2e-3), "220 KB": (220 * KIB, 5e-3)}
REPETITIONS = 5
WARM_UP = 30


async def added_latency(plan: Plan) -> list[Figure]:
    """Requests through the three gateways in turns, in random order, until the answer is complete."""
    modes = (ROUND_ROBIN, BUFFERED, FULL_DUPLEX)
    figures = []
    async with gateways(*modes) as running, contextlib.AsyncExitStack() as stack:
        arms = {
            mode: (await stack.enter_async_context(connections(port, 1)))[0] for mode, port in running.ports.items()
        }
        for name, (size, budget) in PROMPTS.items():
            samples = await _in_turns(plan, arms, _bodies(size))
            for mode in (BUFFERED, FULL_DUPLEX):
                figures.extend(_added(f"{name}, {mode}", samples[mode], samples[ROUND_ROBIN], budget))
    return figures


def _bodies(size: int) -> Iterator[bytes]:
    """Prompts whose first half comes up again, the rest never."""
    return (chat_body(size, number) for number in itertools.count())


async def _in_turns(plan: Plan, arms: Mapping[str, Connection], bodies: Iterator[bytes]) -> Mapping[str, Samples]:
    samples = {mode: Samples() for mode in arms}
    for _ in range(WARM_UP):
        await _round(arms, next(bodies))
    for _ in range(REPETITIONS):
        rounds = [await _round(arms, next(bodies)) for _ in range(plan.pick(150, 30))]
        for mode, collected in samples.items():
            collected.repetitions.append([seconds[mode] for seconds in rounds])
        plan.advance(1 / (REPETITIONS * len(PROMPTS)))
    return samples


async def _round(arms: Mapping[str, Connection], body: bytes) -> Mapping[str, float]:
    seconds = {}
    for mode in random.sample(list(arms), len(arms)):
        started = time.perf_counter()
        await arms[mode].post(body)
        seconds[mode] = time.perf_counter() - started
    return seconds


def _added(what: str, measured: Samples, baseline: Samples, budget: float) -> list[Figure]:
    """Percentiles of both; what is added is the difference of the percentiles."""
    return [
        Figure(
            "latency",
            f"{what}, added p{percent}",
            "s",
            measured.percentile(percent),
            baseline.percentile(percent),
            "Envoy's round robin",
            budget if percent == 50 else None,
            "added",
        )
        for percent in (50, 90, 99)
    ]
