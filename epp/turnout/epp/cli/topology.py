"""`turnout topology`: the GPUs of this machine and the ways between them."""

import asyncio
import importlib.util
import json
import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from turnout.epp.cli.screen import (
    EXIT_USAGE,
    check_watch,
    errors_as_messages,
    fail,
    print_json,
    run_loop,
    stderr,
    stdout,
)
from turnout.epp.topology.agent import SharedReading, serve_agent
from turnout.epp.topology.endpoint_labels import labels
from turnout.epp.topology.reading import NoGpuError, TopologyError, begin, within
from turnout.epp.topology.tables import render_machine
from turnout.epp.topology.topology_file import write_changed
from turnout.plugins.topology.document import encoded
from turnout.plugins.topology.machine import Machine

EXIT_NO_GPU = 3
MAX_PORT = 65535
# A driver that no process keeps loaded starts first, which takes a second or two for each GPU.
TIMEOUT_SECONDS = 60.0


def topology(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="The topology document, as one line of JSON.")] = False,
    as_labels: Annotated[
        bool, typer.Option("--labels", help="Labels for the endpoints of this machine, as one line of JSON.")
    ] = False,
    write: Annotated[
        Path | None, typer.Option(help="Write the document (or the labels) to this file, replaced as a whole.")
    ] = None,
    serve: Annotated[str | None, typer.Option(help="Serve it at HOST:PORT until interrupted; port 0: any.")] = None,
    watch: Annotated[float | None, typer.Option(help="Read again every so many seconds, until Ctrl-C.")] = None,
    node_name: Annotated[
        str | None, typer.Option(help="Name of this machine in the document; default: its host name.")
    ] = None,
) -> None:
    """Show the GPUs of this machine, and how they reach each other.

    The first table is that of `nvidia-smi topo -m`: NV18 is 18 NVLinks between two GPUs, then from near to far PIX,
    PXB, PHB, NODE and SYS; only those that occur are explained below it. Then come the GPUs with memory, power, PCIe
    (the generation that GPU and slot can do, and the lanes in use) and NVLinks, MIG instances, processes, and what
    the driver did not say. A GPU that fell off the bus is LOST; the others are shown all the same.

    What is written, served and printed by --json is one document, described in docs/operations.md. It has no names
    or arguments of processes. With --watch and --write a file is kept current.

    Exit status: 0 read, 1 the driver hangs, or a file or an address cannot be had, 2 a wrong command line or a missing
    extra, 3 no NVIDIA GPU or no driver.

    Example: turnout topology --serve 0.0.0.0:9420 --node-name worker-7
    """
    _check_options(watch, serve, as_json=as_json, as_labels=as_labels, writes=write is not None)
    read = _reader(node_name or platform.node())
    with errors_as_messages(OSError, TopologyError), errors_as_messages(NoGpuError, status=EXIT_NO_GPU):
        if serve is not None:
            host, port = _address(serve)
            run_loop(serve_agent(SharedReading(read, time.monotonic), host, port, lambda bound: _announce(host, bound)))
        else:
            run_loop(_read(read, _output(write, as_json=as_json, as_labels=as_labels), watch))


def _check_options(watch: float | None, serve: str | None, *, as_json: bool, as_labels: bool, writes: bool) -> None:
    check_watch(watch)
    if as_json and as_labels:
        fail("--json and --labels exclude each other", EXIT_USAGE)
    if serve is not None and (as_json or as_labels or writes or watch is not None):
        fail("--serve answers with document and labels; leave --json, --labels, --write and --watch out", EXIT_USAGE)
    if serve is not None:
        _address(serve)
    if importlib.util.find_spec("pynvml") is None:
        fail("nvidia-ml-py is not installed. Run: pip install 'turnout[gpu]'", EXIT_USAGE)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not bare or (":" in bare and bare == host) or not port.isascii() or not port.isdigit() or int(port) > MAX_PORT:
        fail(f"--serve must be HOST:PORT, such as 0.0.0.0:9420, not {text!r}", EXIT_USAGE)
    return bare, int(port)


def _reader(node: str) -> Callable[[], Machine]:
    from turnout.epp.topology.nvml_reader import read_machine  # noqa: PLC0415 - needs the extra

    return lambda: read_machine(node, datetime.now(UTC).isoformat(timespec="seconds"))


async def _read(read: Callable[[], Machine], show: Callable[[Machine], None], watch: float | None) -> None:
    show(await within(TIMEOUT_SECONDS, begin(read)))
    while watch is not None:
        await asyncio.sleep(watch)
        try:
            show(await within(TIMEOUT_SECONDS, begin(read)))
        except (TopologyError, OSError) as error:
            # A driver may be restarting: it is asked again.
            stderr.print(f"turnout: {error}", style="red", markup=False)


def _output(write: Path | None, *, as_json: bool, as_labels: bool) -> Callable[[Machine], None]:
    if write is not None:
        return lambda machine: _write(write, machine, as_labels=as_labels)
    if as_json or as_labels:
        return lambda machine: print_json(_document(machine, as_labels=as_labels))
    return lambda machine: stdout.print(render_machine(machine))


def _document(machine: Machine, *, as_labels: bool) -> object:
    return dict(labels(machine)) if as_labels else json.loads(encoded(machine))


def _write(path: Path, machine: Machine, *, as_labels: bool) -> None:
    content = json.dumps(_document(machine, as_labels=as_labels)).encode() + b"\n"
    changed = write_changed(path, content)
    stderr.print(f"{path}: {'written' if changed else 'unchanged'}", markup=False)


def _announce(host: str, port: int) -> None:
    shown = f"[{host}]" if ":" in host else host
    stdout.print(f"Topology on http://{shown}:{port}/topology", markup=False)
