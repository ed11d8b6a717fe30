import asyncio
import threading

import pytest

from epp.topology.gpus import gpu, machine
from turnout.epp.topology.reading import DriverHangsError, NoGpuError, TopologyError, begin, within
from turnout.plugins.topology.machine import Machine

ONE = machine(gpu(0))


async def test_a_reading_is_what_was_read() -> None:
    assert await within(60, begin(lambda: ONE)) is ONE


async def test_a_machine_without_gpus_is_told_as_such() -> None:
    def nothing() -> Machine:
        raise NoGpuError("no driver")

    with pytest.raises(NoGpuError, match="no driver"):
        await within(60, begin(nothing))


async def test_who_waits_no_longer_does_not_end_the_reading() -> None:
    go = threading.Event()

    def slowly() -> Machine:
        go.wait()
        return ONE

    running = begin(slowly)
    with pytest.raises(DriverHangsError, match=r"has not answered for 0 seconds"):
        await within(0, running)
    waiting = asyncio.ensure_future(within(60, running))
    await asyncio.sleep(0)
    waiting.cancel()
    go.set()
    assert await within(60, running) is ONE


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_mistake_of_ours_leaves_nobody_waiting() -> None:
    def mistaken() -> Machine:
        raise ZeroDivisionError

    with pytest.raises(TopologyError, match="the reading failed"):
        await within(60, begin(mistaken))
    # It has said what was wrong when it ends, and that must not be in somebody else's test.
    for thread in threading.enumerate():
        if thread.name == "nvml":
            thread.join()
