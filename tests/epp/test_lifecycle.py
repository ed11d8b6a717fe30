import asyncio
import gc
import os
import signal
from collections.abc import Iterator

import pytest

from turnout.epp.lifecycle import first_of, serve, settle_memory, stop_signal
from turnout.epp.options import EppOptions
from turnout.epp.service import EndpointPicker

OPTIONS = EppOptions(
    host="127.0.0.1",
    grpc_port=0,
    grpc_health_port=0,
    metrics_port=0,
    secure_serving=False,
    drain_timeout=0.0,
    config_text="{apiVersion: turnout/v1, kind: EndpointPickerConfig, plugins: [{type: queue-scorer}]}",
    endpoints=("127.0.0.1:9",),
)


@pytest.fixture(autouse=True)
def _collector_as_before() -> Iterator[None]:
    threshold = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*threshold)


async def test_a_signal_drains_and_ends_the_process() -> None:
    ports: list[int] = []

    def ready(picker: EndpointPicker) -> None:
        ports.append(picker.grpc_port)
        asyncio.get_running_loop().call_soon(os.kill, os.getpid(), signal.SIGTERM)

    async with asyncio.timeout(30):
        await serve(OPTIONS, ready)
    assert ports[0] > 0


async def test_both_signals_stop() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        stop = stop_signal()
        os.kill(os.getpid(), number)
        async with asyncio.timeout(10):
            await stop.wait()


async def test_the_first_to_end_decides_and_the_others_are_cancelled() -> None:
    forever = asyncio.Event()
    cancelled: list[bool] = []

    async def wait() -> None:
        try:
            await forever.wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async def fail() -> None:
        raise OSError("this one")

    with pytest.raises(OSError, match="this one"):
        await first_of(wait(), fail())
    await asyncio.sleep(0)
    assert cancelled == [True]


def test_what_lives_as_long_as_the_process_is_not_collected_again() -> None:
    before = gc.get_freeze_count()
    settle_memory()
    assert gc.get_freeze_count() > before + 1000
