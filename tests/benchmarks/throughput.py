"""Requests per second with 16 connections, and what a request costs the picker."""

import asyncio
import time
from collections.abc import Sequence

from .figures import Figure, Plan, value_of
from .gateways import BUFFERED, FULL_DUPLEX, ROUND_ROBIN, Connection, Gateways, connections, gateways
from .pools import chat_body

CONNECTIONS = 16
KIB = 1024
PROMPTS = {"2 KB": 2 * KIB, "220 KB": 220 * KIB}
BODIES_IN_ALL = 64 * KIB * KIB
REPETITIONS = 3
MODES = (ROUND_ROBIN, BUFFERED, FULL_DUPLEX)


async def throughput(plan: Plan) -> list[Figure]:
    """A closed loop on each gateway in turns. Client, Envoy, picker and upstream share the machine."""
    figures = []
    async with gateways(*MODES) as running:
        for name, size in PROMPTS.items():
            figures += await _of_size(plan, running, name, size)
    return figures


async def _of_size(plan: Plan, running: Gateways, name: str, size: int) -> list[Figure]:
    bodies = [chat_body(size, number) for number in range(min(512, BODIES_IN_ALL // size))]
    rates: dict[str, list[float]] = {mode: [] for mode in MODES}
    cpu: dict[str, list[float]] = {mode: [] for mode in MODES}
    seconds = plan.pick(2, 1)
    for repetition in range(1 + REPETITIONS):
        for mode in MODES:
            rate, busy = await _window(running, mode, bodies, seconds if repetition else 1)
            if repetition:  # the first warms up
                rates[mode].append(rate)
                cpu[mode].append(busy)
            plan.advance(1 / (len(PROMPTS) * len(MODES) * (1 + REPETITIONS)))
    alone = value_of(rates[ROUND_ROBIN])
    figures = []
    for mode in (BUFFERED, FULL_DUPLEX):
        what, picker = f"{name}, {CONNECTIONS} connections, {mode}", f"the picker's CPU for a request, {name}, {mode}"
        figures.append(
            Figure("throughput", what, "requests/s", value_of(rates[mode]), alone, "the same Envoy without ext_proc")
        )
        figures.append(Figure("throughput", picker, "s", value_of(cpu[mode])))
    return figures


async def _window(running: Gateways, mode: str, bodies: Sequence[bytes], seconds: float) -> tuple[float, float]:
    """Requests per second, and CPU seconds of the picker for each."""
    async with connections(running.ports[mode], CONNECTIONS) as clients:
        busy, started = running.picker.cpu_seconds(), time.perf_counter()
        counts = await asyncio.gather(
            *(_loop(client, bodies[number % len(bodies) :], started + seconds) for number, client in enumerate(clients))
        )
        elapsed, used = time.perf_counter() - started, running.picker.cpu_seconds() - busy
    return sum(counts) / elapsed, used / sum(counts)


async def _loop(client: Connection, bodies: Sequence[bytes], until: float) -> int:
    count = 0
    while time.perf_counter() < until:
        await client.post(bodies[count * CONNECTIONS % len(bodies)])
        count += 1
    return count
