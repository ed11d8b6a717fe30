"""The child processes of a demo: simulated servers and gateways, each started, asked and stopped over its own API."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

import aiohttp

from turnout.epp.datalayer.exposition import read_samples
from turnout.epp.demo.report import ServerCounts

START_SECONDS = 20.0
STOP_SECONDS = 8.0
STDERR_BYTES = 4000

_FAMILIES = frozenset({"vllm:prefix_cache_queries_total", "vllm:prefix_cache_hits_total", "vllm:request_success_total"})


class ChildError(Exception):
    """A child process did not start, or ended too early; the message holds what it wrote."""


class Child:
    """One `turnout` process in a session of its own, which announces itself with a line of JSON."""

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self._process: asyncio.subprocess.Process | None = None
        self.announced: Mapping[str, object] = {}

    async def __aenter__(self) -> Self:
        # A session of its own keeps Ctrl-C in the terminal for the demo, which then stops its children in order.
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "turnout.epp",
            *self._arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(START_SECONDS):
                self.announced = await self._announcement(self._process)
        except BaseException:
            await self._stop(self._process)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            await self._stop(self._process)

    async def _announcement(self, process: asyncio.subprocess.Process) -> Mapping[str, object]:
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        line = await process.stdout.readline()
        if not line:
            raise ChildError(f"turnout {self._arguments[0]} did not start: {await _last_words(process)}")
        announced: Mapping[str, object] = json.loads(line)
        return announced

    async def _stop(self, process: asyncio.subprocess.Process) -> None:
        if process.returncode is not None:
            return
        process.terminate()
        try:
            # communicate() also drains the pipes, so that a child with much to say can end.
            await asyncio.wait_for(process.communicate(), STOP_SECONDS)
        except TimeoutError:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def _last_words(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None  # noqa: S101 - a pipe was asked for
    text = (await process.stderr.read(STDERR_BYTES)).decode(errors="replace").strip()
    return text or f"exit status {await process.wait()}, no message"


async def read_counts(urls: Sequence[str]) -> Mapping[str, ServerCounts]:
    """Each server's own counts, by ``host:port``."""
    async with aiohttp.ClientSession() as session:
        counts = await asyncio.gather(*(_read_counts(session, url) for url in urls))
    return dict(zip((url.removeprefix("http://") for url in urls), counts, strict=True))


async def _read_counts(session: aiohttp.ClientSession, url: str) -> ServerCounts:
    async with session.get(f"{url}/metrics") as response:
        response.raise_for_status()
        samples = read_samples(await response.read(), _FAMILIES)
    totals = {family: sum(sample.value for sample in found) for family, found in samples.items()}
    return ServerCounts(
        requests=int(totals.get("vllm:request_success_total", 0)),
        prefix_queries=totals.get("vllm:prefix_cache_queries_total", 0.0),
        prefix_hits=totals.get("vllm:prefix_cache_hits_total", 0.0),
    )
