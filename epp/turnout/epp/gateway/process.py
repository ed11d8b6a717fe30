"""Envoy as a child process."""

import asyncio
import re
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import aiohttp

from turnout.epp.gateway.binary import find_envoy
from turnout.epp.gateway.bootstrap import envoy_bootstrap, to_yaml
from turnout.epp.gateway.options import GatewayOptions

_POLL_SECONDS: Final = 0.02
_LOG_TAIL_BYTES: Final = 16 * 1024
# Envoy prints its reason at these levels just before it gives up.
_REASON_LEVELS: Final = ("[critical]", "[error]", "[warning]")
_CANNOT_BIND: Final = re.compile(r"(?P<reason>cannot bind '[^']*:(?P<port>\d+)': [^`'\n]+)")


class EnvoyStartError(Exception):
    """Envoy did not come up; the message carries its own reason."""


class EnvoyProcess:
    """One running Envoy with its configuration and log in a temporary directory, removed by `stop`.

    Envoy asks the kernel for SIGTERM when the *thread* that started it ends, so `start` belongs on the main
    thread: then Envoy cannot outlive this process, even if it is killed.
    """

    def __init__(self, options: GatewayOptions, *, concurrency: int = 1, log_level: str = "warning") -> None:
        self._options = options
        self._arguments = ("--concurrency", str(concurrency), "--log-level", log_level, "--use-dynamic-base-id")
        self._directory = Path(tempfile.mkdtemp(prefix="turnout-envoy-"))
        self._child: asyncio.subprocess.Process | None = None

    @property
    def log_path(self) -> Path:
        """Where Envoy's log goes until `stop`."""
        return self._directory / "envoy.log"

    async def start(self, timeout_seconds: float = 15.0) -> None:
        """Starts Envoy and returns when it accepts requests.

        Raises:
            EnvoyNotFoundError: there is no Envoy to start.
            EnvoyStartError: it ended early, a port being taken for one, or was not ready in time.
        """
        try:
            self._child = await self._spawn()
            await self._until_ready(self._child, timeout_seconds)
        except BaseException:
            await self.stop()
            raise

    async def wait(self) -> int:
        """Waits until Envoy ends, by itself or by `stop`, and returns its exit status.

        Raises:
            RuntimeError: Envoy was not started.
        """
        if self._child is None:
            raise RuntimeError("Envoy was not started")
        return await self._child.wait()

    def last_words(self) -> str:
        """The line of Envoy's log that says most about why it ended."""
        return _reason(self._log_tail())

    async def stop(self, timeout_seconds: float = 5.0) -> None:
        """Ends Envoy with SIGTERM, and SIGKILL after the timeout; may be called twice."""
        child = self._child
        if child is not None and child.returncode is None:
            child.terminate()
            try:
                await asyncio.wait_for(child.wait(), timeout_seconds)
            except TimeoutError:
                child.kill()
                await child.wait()
        shutil.rmtree(self._directory, ignore_errors=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def _config_path(self) -> Path:
        return self._directory / "envoy.yaml"

    async def _spawn(self) -> asyncio.subprocess.Process:
        self._config_path.write_text(to_yaml(envoy_bootstrap(self._options)))
        with self.log_path.open("wb") as log:
            return await asyncio.create_subprocess_exec(
                find_envoy(),
                "--config-path",
                self._config_path,
                *self._arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    async def _until_ready(self, child: asyncio.subprocess.Process, timeout_seconds: float) -> None:
        exited = asyncio.create_task(child.wait())
        ready = asyncio.create_task(self._poll())
        try:
            await asyncio.wait({exited, ready}, timeout=timeout_seconds, return_when=asyncio.FIRST_COMPLETED)
            if child.returncode is not None:
                raise EnvoyStartError(self._why_it_ended(child.returncode))
            if not ready.done():
                raise EnvoyStartError(f"Envoy was not ready within {timeout_seconds:g} s: {self.last_words()}")
            ready.result()
        finally:
            ready.cancel()
            exited.cancel()

    async def _poll(self) -> None:
        url = f"http://127.0.0.1:{self._options.admin_port}/server_info"
        limit = aiohttp.ClientTimeout(total=2.0)
        async with aiohttp.ClientSession(timeout=limit) as session:
            while True:
                if await self._is_ready(session, url):
                    return
                await asyncio.sleep(_POLL_SECONDS)

    async def _is_ready(self, session: aiohttp.ClientSession, url: str) -> bool:
        # /ready would also be answered by another Envoy that holds the admin port; the path of the
        # configuration tells ours from others.
        try:
            async with session.get(url) as response:
                info = await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return False
        if not isinstance(info, dict) or info.get("state") != "LIVE":
            return False
        return bool(info["command_line_options"]["config_path"] == str(self._config_path))

    def _why_it_ended(self, status: int) -> str:
        log = self._log_tail()
        taken = _CANNOT_BIND.search(log)
        if taken is not None:
            return f"port {taken['port']} is taken: {taken['reason']}"
        return f"Envoy ended at once with status {status}: {_reason(log)}"

    def _log_tail(self) -> str:
        return self.log_path.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace")


def _reason(log: str) -> str:
    lines = log.splitlines()
    reasons = [line for line in lines if any(level in line for level in _REASON_LEVELS)]
    return (reasons or lines or ["it wrote no log"])[-1]
