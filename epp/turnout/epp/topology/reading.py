"""Readings that may take for ever: a driver that hangs blocks the thread that asked it, and no other."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future

from turnout.plugins.topology.machine import Machine


class TopologyError(Exception):
    """There is no reading; the message says why."""


class NoGpuError(TopologyError):
    """The machine has no NVIDIA GPU, or no driver that answers."""


class DriverHangsError(TopologyError):
    """The driver has not answered in time, and may never."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the NVIDIA driver has not answered for {seconds:g} seconds; look at dmesg for NVRM and Xid")


def begin(read: Callable[[], Machine]) -> "asyncio.Future[Machine]":
    """Reads in a thread of its own, which keeps no process from ending."""
    result: Future[Machine] = Future()
    threading.Thread(target=_read, args=(read, result), name="nvml", daemon=True).start()
    return asyncio.wrap_future(result)


def _read(read: Callable[[], Machine], result: "Future[Machine]") -> None:
    try:
        result.set_result(read())
    except TopologyError as error:
        result.set_exception(error)
    finally:
        # Any other error ends the thread, which prints it; nobody must wait for it.
        if not result.done():
            result.set_exception(TopologyError("the reading failed; see the error above"))


async def within(seconds: float, running: "asyncio.Future[Machine]") -> Machine:
    """The reading. It goes on when the time is over, or the waiting is cancelled: the driver would not notice.

    Raises:
        DriverHangsError: the time is over.
        TopologyError: there is no reading.
    """
    done, _ = await asyncio.wait([running], timeout=seconds)
    if not done:
        raise DriverHangsError(seconds)
    return running.result()
