import asyncio
import os
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import msgspec

from plugins.topology.islands import busy, islands
from turnout.framework import WallClock
from turnout.framework.testing import make_endpoint
from turnout.plugins.feeds.source import FeedSource
from turnout.plugins.topology.document import encoded
from turnout.plugins.topology.keys import Hardware, Place
from turnout.plugins.topology.machine_sources import MachineSources

HOSTS = [(make_endpoint("a"), "n1"), (make_endpoint("b"), "n2"), (make_endpoint("c"), "n1"), (make_endpoint("d"), "")]


class Told:
    def __init__(self) -> None:
        self.names: list[str] = []
        self.event = asyncio.Event()

    def __call__(self, names: Sequence[str]) -> None:
        self.names += names
        self.event.set()


def from_file(path: Path, told: Told, unix_at_zero: float) -> MachineSources:
    file = FeedSource(file=str(path), interval=timedelta(milliseconds=100))
    return MachineSources(WallClock(unix_at_zero), timedelta(minutes=1), file, None, None, told)


async def test_only_endpoints_on_machines_that_changed_are_told(tmp_path: Path) -> None:
    path, told = tmp_path / "topology.jsonl", Told()
    path.write_bytes(encoded(islands("n1")) + b"\n" + encoded(islands("n2")))
    loop = asyncio.get_running_loop()
    sources = from_file(path, told, path.stat().st_mtime - loop.time())
    sources.follow(HOSTS)
    before = {name: sources.described(name, host)[0] for name, host in (("a", "n1"), ("b", "n2"), ("d", ""))}
    assert [found is None for found in before.values()] == [False, False, True]
    path.write_bytes(encoded(busy(islands("n1"), 1, 1, 1, 1)) + b"\n" + encoded(islands("n2", lost=True)))
    running = asyncio.create_task(sources.run())
    await asyncio.wait_for(told.event.wait(), 10)
    running.cancel()
    await asyncio.wait([running])
    # Told of the first look, at which nothing had changed but how busy n1 is, at most of those on n2.
    assert set(told.names) == {"default/b"}
    assert sources.described("a", "n1")[0] is before["a"]
    assert sources.described("b", "n2")[0] is not before["b"]


async def test_a_state_is_known_as_long_as_its_file_is_young(tmp_path: Path) -> None:
    path = tmp_path / "topology.json"
    path.write_bytes(encoded(busy(islands("n1"), 0.5, 0, 0, 0)))
    sources = from_file(path, Told(), path.stat().st_mtime)
    sources.follow(HOSTS)
    hardware = Hardware(Place("n1"), gpus=(0,))
    known = sources.state("a", hardware, 59.0)
    assert known is not None
    assert known.utilization == 0.5
    assert sources.state("a", hardware, 58.0) is known
    assert sources.state("a", hardware, 61.0) is None
    assert sources.described("a", "n1")[0] is not None


async def test_a_new_file_may_have_an_old_reading_in_it(tmp_path: Path) -> None:
    path = tmp_path / "topology.json"
    read = msgspec.structs.replace(islands("n1"), read_at="2026-01-01T00:00:00+00:00")
    path.write_bytes(encoded(read))
    hardware = Hardware(Place("n1"), gpus=(0,))
    for unix, known in ((1_767_225_600.0 + 59.0, True), (1_767_225_600.0 + 61.0, False)):
        os.utime(path, (unix, unix))
        assert (from_file(path, Told(), unix).state("a", hardware, 0.0) is not None) == known
