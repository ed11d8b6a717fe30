"""Child processes that announce themselves with a line of JSON, and what the kernel says they use."""

import asyncio
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .figures import BenchmarkError

START_SECONDS = 30.0
STOP_SECONDS = 5.0
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_UPSTREAM = Path(__file__).with_name("upstream.py")


@dataclass(frozen=True, slots=True, eq=False)
class Child:
    """A running process."""

    pid: int
    announced: Mapping[str, int]

    def cpu_seconds(self) -> float:
        """CPU time of all its threads since it began, in steps of a tick (10 ms as a rule)."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND

    def resident_bytes(self) -> int:
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * _PAGE_BYTES


@contextlib.asynccontextmanager
async def endpoint_picker(*arguments: str) -> AsyncIterator[Child]:
    """`turnout epp` on free ports, without TLS."""
    ports = ("--grpc-port", "0", "--grpc-health-port", "0", "--metrics-port", "0")
    local = ("--host", "127.0.0.1", "--secure-serving=false", "--drain-timeout", "0s", "--json")
    async with _child("-m", "turnout.epp", "epp", *ports, *local, *arguments) as child:
        yield child


@contextlib.asynccontextmanager
async def upstream(addresses: int) -> AsyncIterator[tuple[str, ...]]:
    """One process that answers at once, at so many addresses; gives their `host:port`."""
    async with _child(str(_UPSTREAM), str(addresses)) as child:
        port = child.announced["port"]
        yield tuple(f"127.0.1.{number}:{port}" for number in range(1, addresses + 1))


@contextlib.asynccontextmanager
async def _child(*arguments: str) -> AsyncIterator[Child]:
    # A file, since nobody reads a pipe while measuring, and a child that finds its pipe full stands still.
    with tempfile.TemporaryFile() as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, stdout=asyncio.subprocess.PIPE, stderr=log
        )
        try:
            yield Child(process.pid, await _announcement(process))
        except TimeoutError:
            log.seek(0)
            raise BenchmarkError(f"{' '.join(arguments[:3])} did not start: {log.read()[-2000:].decode()}") from None
        finally:
            await _stop(process)


async def _announcement(process: asyncio.subprocess.Process) -> Mapping[str, int]:
    if process.stdout is None:
        raise BenchmarkError("a child has no standard output")
    line = await asyncio.wait_for(process.stdout.readline(), START_SECONDS)
    if not line:
        raise TimeoutError
    announced: Mapping[str, int] = json.loads(line)
    return announced


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
