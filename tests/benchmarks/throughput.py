"""Requests per second with 16 connections, and what a request costs the picker."""

import asyncio
import time
from collections.abc import Sequence

from .figures import Figure, Plan, value_of
from .gateways import BUFFERED, FULL_DUPLEX, ROUND_ROBIN, Connection, Gateways, connections, gateways
from .pools import chat_body

CONNECTIONS = 16
BODY_BYTES = 2048
REPETITIONS = 3


async def throughput(plan: Plan) -> list[Figure]:
    """A closed loop on each gateway in turns. Client, Envoy, picker and upstream share the machine."""
    modes = (ROUND_ROBIN, BUFFERED, FULL_DUPLEX)
    bodies = [chat_body(BODY_BYTES, number) for number in range(512)]
    rates: dict[str, list[float]] = {mode: [] for mode in modes}
    cpu: dict[str, list[float]] = {mode: [] for mode in modes}
    seconds = plan.pick(2, 1)
    async with gateways(*modes) as running:
        for repetition in range(1 + REPETITIONS):
            for mode in modes:
                rate, busy = await _window(running, mode, bodies, seconds if repetition else 1)
                if repetition:  # the first warms up
                    rates[mode].append(rate)
                    cpu[mode].append(busy)
                plan.advance(1 / (len(modes) * (1 + REPETITIONS)))
    alone = value_of(rates[ROUND_ROBIN])
    figures = []
    for mode in (BUFFERED, FULL_DUPLEX):
        what, picker = f"2 KB, 16 connections, {mode}", f"the picker's CPU for a request, {mode}"
        served, used = value_of(rates[mode]), value_of(cpu[mode])
        figures.append(Figure("throughput", what, "requests/s", served, alone, "round robin"))
        figures.append(Figure("throughput", picker, "s", used))
    return figures


async def _window(running: Gateways, mode: str, bodies: Sequence[bytes], seconds: float) -> tuple[float, float]:
    """Requests per second, and CPU seconds of the picker for each."""
    async with connections(running.ports[mode], CONNECTIONS) as clients:
        busy, started = running.picker.cpu_seconds(), time.perf_counter()
        counts = await asyncio.gather(
            *(_loop(client, bodies[number:], started + seconds) for number, client in enumerate(clients))
        )
        elapsed, used = time.perf_counter() - started, running.picker.cpu_seconds() - busy
    return sum(counts) / elapsed, used / sum(counts)


async def _loop(client: Connection, bodies: Sequence[bytes], until: float) -> int:
    count = 0
    while time.perf_counter() < until:
        await client.post(bodies[count * CONNECTIONS % len(bodies)])
        count += 1
    return count
