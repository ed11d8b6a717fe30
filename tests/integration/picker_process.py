"""An Endpoint Picker in a process of its own, which can be killed, and the gateway before it."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

from epp.gateway.fakes import free_port
from integration.gateways import EPP, Gateway, Mode, Pages, envoy_options, http_client
from turnout.epp.gateway.eds import EdsFile
from turnout.epp.gateway.process import EnvoyProcess
from turnout.epp.up import FALLBACK_ENDPOINTS

START_SECONDS = 20.0
FIXED = ["--host", "127.0.0.1", "--grpc-health-port", "0", "--metrics-port", "0", "--no-secure-serving", "--json"]


class PickerProcess:
    """`turnout epp` on a fixed port. Its log goes to a file."""

    def __init__(self, port: int, log: Path, arguments: Sequence[str], pythonpath: Path | None = None) -> None:
        self._arguments = ["--grpc-port", str(port), *arguments]
        self._log = log
        self._environment = os.environ | ({"PYTHONPATH": str(pythonpath)} if pythonpath else {})
        self._process: asyncio.subprocess.Process | None = None
        self.metrics_port = 0

    async def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "turnout.epp", "epp", *FIXED, *self._arguments),
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=self._environment,
            )
        assert self._process.stdout is not None
        async with asyncio.timeout(START_SECONDS):
            line = await self._process.stdout.readline()
        assert line, self._log.read_text()
        self.metrics_port = int(json.loads(line)["metrics_port"])

    @property
    def peak_bytes(self) -> int:
        """The most memory that the process has had resident."""
        assert self._process is not None
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def exit_status(self) -> int:
        """Waits for the end."""
        assert self._process is not None
        await self._process.communicate()
        assert self._process.returncode is not None
        return self._process.returncode

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self.exit_status()


@asynccontextmanager
async def separate_picker(
    mode: Mode,
    folder: Path,
    arguments: Sequence[str],
    *,
    failure_mode_allow: bool = False,
    pythonpath: Path | None = None,
) -> AsyncIterator[tuple[Gateway, PickerProcess]]:
    """A gateway whose Endpoint Picker is another process, started."""
    eds = folder / "eds" / "endpoints.json"
    eds.parent.mkdir()
    EdsFile(eds).write(())
    port = free_port()
    own = ("--eds-file", str(eds), "--fallback-endpoints", str(FALLBACK_ENDPOINTS))
    picker = PickerProcess(port, folder / "picker.log", [*own, *arguments], pythonpath)
    options = replace(envoy_options(mode, eds, EPP, port), failure_mode_allow=failure_mode_allow)
    async with AsyncExitStack() as stack:
        await picker.start()
        stack.push_async_callback(picker.kill)
        await stack.enter_async_context(EnvoyProcess(options))
        client = await stack.enter_async_context(http_client())
        pages = Pages(client, lambda: picker.metrics_port)
        yield Gateway(client, options.listen.port, options.admin_port, pages), picker
