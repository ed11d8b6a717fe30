"""The child processes of a demo: simulated servers and gateways, each started, asked and stopped over its own API."""

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import aiohttp

from turnout.epp.datalayer.exposition import read_samples
from turnout.epp.demo.report import ServerCounts

START_SECONDS = 20.0
STOP_SECONDS = 8.0
STDERR_BYTES = 4000

_FAMILIES = frozenset({"vllm:prefix_cache_queries_total", "vllm:prefix_cache_hits_total", "vllm:request_success_total"})
_TOKEN_FAMILIES = frozenset({"vllm:prompt_tokens_total", "vllm:generation_tokens_total"})


class ChildError(Exception):
    """A child process did not start, or ended too early; the message holds what it wrote."""


class Child:
    """One `turnout` process in a session of its own, which announces itself with a line of JSON."""

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self._process: asyncio.subprocess.Process | None = None
        # A file and not a pipe: nobody reads along, and a full pipe would stop the child.
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed by _stop
        self.announced: Mapping[str, object] = {}

    async def __aenter__(self) -> Self:
        # A session of its own keeps Ctrl-C in the terminal for the demo, which then stops its children in order.
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "turnout.epp",
            *self._arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=self._stderr,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(START_SECONDS):
                self.announced = await self._announcement(self._process)
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    async def _announcement(self, process: asyncio.subprocess.Process) -> Mapping[str, object]:
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        line = await process.stdout.readline()
        if not line:
            raise ChildError(f"turnout {self._arguments[0]} did not start: {await self._last_words(process)}")
        announced: Mapping[str, object] = json.loads(line)
        return announced

    async def _stop(self) -> None:
        process = self._process
        if process is not None and process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), STOP_SECONDS)
            except TimeoutError:
                os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        self._stderr.close()

    async def _last_words(self, process: asyncio.subprocess.Process) -> str:
        status = await process.wait()
        self._stderr.seek(0)
        text = self._stderr.read()[-STDERR_BYTES:].decode(errors="replace").strip()
        return text or f"exit status {status}, no message"


async def read_counts(urls: Sequence[str]) -> Mapping[str, ServerCounts]:
    """Each server's own counts, by ``host:port``."""
    async with aiohttp.ClientSession() as session:
        counts = await asyncio.gather(*(_read_counts(session, url) for url in urls))
    return dict(zip((url.removeprefix("http://") for url in urls), counts, strict=True))


async def _read_counts(session: aiohttp.ClientSession, url: str) -> ServerCounts:
    totals = await _read_totals(session, url, _FAMILIES)
    return ServerCounts(
        requests=int(totals.get("vllm:request_success_total", 0)),
        prefix_queries=totals.get("vllm:prefix_cache_queries_total", 0.0),
        prefix_hits=totals.get("vllm:prefix_cache_hits_total", 0.0),
    )


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """Prompt tokens that a server took in, and tokens that it generated."""

    prompt: int
    generated: int


async def read_tokens(urls: Sequence[str]) -> Sequence[TokenCounts]:
    """Each server's own counts, in the order of the URLs."""
    async with aiohttp.ClientSession() as session:
        totals = await asyncio.gather(*(_read_totals(session, url, _TOKEN_FAMILIES) for url in urls))
    return [
        TokenCounts(
            int(found.get("vllm:prompt_tokens_total", 0)),
            int(found.get("vllm:generation_tokens_total", 0)),
        )
        for found in totals
    ]


async def _read_totals(session: aiohttp.ClientSession, url: str, families: frozenset[str]) -> Mapping[str, float]:
    async with session.get(f"{url}/metrics") as response:
        response.raise_for_status()
        samples = read_samples(await response.read(), families)
    return {family: sum(sample.value for sample in found) for family, found in samples.items()}
