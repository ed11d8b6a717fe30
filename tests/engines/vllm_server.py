"""Runs a real vLLM server on the CPU, on free ports of this machine."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import aiohttp

from engines.tiny_model import TINY, ModelSize, write_adapter, write_model

MODEL = "tiny"
ADAPTERS = ("adapter-a", "adapter-b")
BLOCK_SIZE = 32
NUM_BLOCKS = 256
MAX_NUM_SEQS = 8
MAX_MODEL_LEN = 2048

# 30 to 50 s on an idle machine with two cores, most of it imports.
START_SECONDS = 240.0
STOP_SECONDS = 10.0
_POLL_SECONDS = 0.25
_LOG_LINES_SHOWN = 40

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-engines" / "bin" / "python"


class VllmStartError(Exception):
    """The server ended or did not get ready in time; the message holds the end of its log."""


@dataclass(frozen=True, slots=True)
class VllmPorts:
    """Where a server answers, publishes its KV events and replays them."""

    http: int
    kv_events: int
    kv_replay: int

    @classmethod
    def free(cls) -> Self:
        """Ports that are free now."""
        with contextlib.ExitStack() as stack:
            sockets = [stack.enter_context(socket.socket()) for _ in range(3)]
            for one in sockets:
                one.bind(("127.0.0.1", 0))
            return cls(*(int(one.getsockname()[1]) for one in sockets))


@dataclass(frozen=True, slots=True)
class VllmServer:
    """A server that is ready. ``process_group`` is the id by which its processes can be killed."""

    host: str
    ports: VllmPorts
    log: Path
    seconds_to_ready: float
    process_group: int

    @property
    def port(self) -> int:
        """Of HTTP."""
        return self.ports.http

    @property
    def url(self) -> str:
        """Without a path."""
        return f"http://{self.host}:{self.port}"

    @property
    def kv_events(self) -> str:
        """The ZMQ address to subscribe at."""
        return f"tcp://{self.host}:{self.ports.kv_events}"

    @property
    def kv_replay(self) -> str:
        """The ZMQ address to ask for a replay."""
        return f"tcp://{self.host}:{self.ports.kv_replay}"


@contextlib.asynccontextmanager
async def vllm_server(
    folder: Path, ports: VllmPorts | None = None, size: ModelSize = TINY, *, is_measured: bool = False
) -> AsyncIterator[VllmServer]:
    """A server with a random model of this size and two adapters; its files and its log are in `folder`.

    Without `ports` it takes free ones; with those of a server that has ended it takes its place. Where its times are
    what `is_measured`, it has no adapters, which cost each step more than such a model, and comes before other programs
    in place of making way for them.

    Whatever happens, no process of it is left.

    Raises:
        VllmStartError: it did not get ready.
    """
    write_model(folder / MODEL, size)
    adapters = () if is_measured else ADAPTERS
    for seed, adapter in enumerate(adapters):
        write_adapter(folder / adapter, seed)
    log = folder / "vllm.log"
    ports = ports or VllmPorts.free()
    began = time.monotonic()
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(() if is_measured else ("nice",)),
            *_command(folder, ports, adapters),
            env=_environment(is_measured=is_measured),
            cwd=folder,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    if is_measured:
        _go_first(process.pid)
    try:
        await _until_ready(process, f"http://127.0.0.1:{ports.http}/health", log)
        yield VllmServer("127.0.0.1", ports, log, time.monotonic() - began, process.pid)
    finally:
        await _stop(process)


def _command(folder: Path, ports: VllmPorts, adapters: Sequence[str]) -> Iterator[str]:
    yield from (str(PYTHON), "-m", "vllm.entrypoints.openai.api_server")
    yield from ("--model", str(folder / MODEL), "--served-model-name", MODEL, "--load-format", "dummy")
    yield from ("--host", "127.0.0.1", "--port", str(ports.http), "--dtype", "bfloat16", "--enforce-eager")
    # Without the first the server refuses to show the token ids of requests; with the second, tests try templates.
    yield from ("--enable-scale-out", "--trust-request-chat-template")
    # Cached tokens in the usage of responses.
    yield "--enable-prompt-tokens-details"
    yield from ("--max-model-len", str(MAX_MODEL_LEN), "--max-num-batched-tokens", "2048")
    yield from ("--max-num-seqs", str(MAX_NUM_SEQS), "--block-size", str(BLOCK_SIZE))
    # A small cache: its use is seen, and blocks leave it, within seconds.
    yield from ("--num-gpu-blocks-override", str(NUM_BLOCKS), "--enable-prefix-caching")
    if adapters:
        yield from ("--enable-lora", "--max-loras", str(len(adapters)), "--max-lora-rank", "8", "--lora-modules")
        yield from (f"{adapter}={folder / adapter}" for adapter in adapters)
    events = {
        "enable_kv_cache_events": True,
        "publisher": "zmq",
        # A star makes vLLM bind; with an address it would connect.
        "endpoint": f"tcp://*:{ports.kv_events}",
        "replay_endpoint": f"tcp://*:{ports.kv_replay}",
        "topic": f"kv@127.0.0.1:{ports.http}@{MODEL}",
    }
    yield from ("--kv-events-config", json.dumps(events))


def _environment(*, is_measured: bool) -> Mapping[str, str]:
    # A worker in a process of its own polls for a second after each step, and keeps a core from the others.
    workers = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"} if is_measured else {}
    return {
        **os.environ,
        **workers,
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_HOST_IP": "127.0.0.1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_SERVER_DEV_MODE": "1",  # for /reset_prefix_cache
    }


def _go_first(session: int) -> None:
    """Where Linux shares the processor by sessions and permits it, this one comes before those of other programs."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{session}/autogroup").write_text("-10")


async def _until_ready(process: asyncio.subprocess.Process, health_url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session:
        while not await _is_healthy(session, health_url):
            if process.returncode is not None:
                raise VllmStartError(f"vLLM ended with status {process.returncode}; {_end_of(log)}")
            if time.monotonic() > deadline:
                raise VllmStartError(f"vLLM was not ready after {START_SECONDS:.0f} s; {_end_of(log)}")
            await asyncio.sleep(_POLL_SECONDS)


async def _is_healthy(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as response:
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


def _end_of(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    return "\n".join([f"the end of {log}:", *lines[-_LOG_LINES_SHOWN:]])


async def _stop(process: asyncio.subprocess.Process) -> None:
    """Lets the server end by itself, then ends what is left of its process group."""
    if process.returncode is None:
        process.terminate()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
