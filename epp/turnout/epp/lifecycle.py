"""The process around an Endpoint Picker: signals, memory, start and drain."""

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable

from turnout.epp.options import EppOptions
from turnout.epp.service import EndpointPicker, read_pipeline


def settle_memory() -> None:
    """Keeps the garbage collector away from what lives as long as the process; call once it serves.

    A full collection of what the imports leave behind (130,000 objects) stalls every request for some 70 ms. What
    is frozen is never looked at again, and young objects are looked at less often: a cycle over 1,000 endpoints
    makes more of them than the default threshold of 700.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


def stop_signal() -> asyncio.Event:
    """Set by SIGINT or SIGTERM, from now on."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return stop


async def serve(options: EppOptions, on_ready: Callable[[EndpointPicker], None]) -> None:
    """Serves until SIGINT or SIGTERM, then drains; a second signal ends the drain.

    Raises:
        ConfigError: the configuration has problems.
        StartError: it cannot start.
        OSError: a port is taken.
    """
    stop = stop_signal()
    picker = EndpointPicker(options, read_pipeline(options))
    await picker.start()
    settle_memory()
    on_ready(picker)
    await first_of(stop.wait(), picker.failed())
    stop.clear()
    await first_of(picker.drain(), stop.wait())
    await picker.stop()


async def first_of(*waits: Awaitable[object]) -> None:
    """Waits for the first of these to end, raises what it raised, and cancels the others."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
