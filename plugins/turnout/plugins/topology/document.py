"""Topology documents as bytes and back. Pure."""

from itertools import combinations

import msgspec

from turnout.plugins.topology.machine import SCHEMA, Machine

MAX_BYTES = 4 * 1024 * 1024

MAX_LINK_BYTES = 500 * 10**9
"""Per second, of one NVLink or PCIe link each way: several times what the fastest do."""


def encoded(machine: Machine) -> bytes:
    """The document as one line of JSON."""
    return msgspec.json.encode(machine)


def parse(text: bytes) -> Machine:
    """Reads a document that someone else wrote, and believes nothing that cannot be.

    Raises:
        ValueError: it is too long, no topology document, of another version, or contradicts itself.
    """
    if len(text) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes")
    try:
        schema = msgspec.json.decode(text, type=_Head).schema
        if schema != SCHEMA:
            raise ValueError(f"schema is {schema[:80]!r}, this reads {SCHEMA!r}")
        machine = msgspec.json.decode(text, type=Machine)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"no topology document: {error}") from error
    _check_consistent(machine)
    return machine


class _Head(msgspec.Struct):
    schema: str


def _check_consistent(machine: Machine) -> None:
    indices = [gpu.index for gpu in machine.gpus]
    if indices != sorted(set(indices)):
        raise ValueError("the GPUs are not in order of their index, or one is there twice")
    pairs = [(pair.a, pair.b) for pair in machine.pairs]
    if sorted(pairs) != list(combinations(indices, 2)):
        raise ValueError("there is not one pair for each two GPUs")
    sockets = {socket.index for socket in machine.sockets}
    for gpu in machine.gpus:
        if gpu.socket is not None and gpu.socket not in sockets:
            raise ValueError(f"GPU {gpu.index} is on socket {gpu.socket}, which is not listed")
        if any(link.peer_gpu == gpu.index for link in gpu.nvlinks):
            raise ValueError(f"GPU {gpu.index} has an NVLink to itself")
    for gpu in machine.gpus:
        if gpu.memory is not None and max(gpu.memory.free, gpu.memory.used) > gpu.memory.total:
            raise ValueError(f"GPU {gpu.index} has more memory free or in use than there is")
    _check_links(machine)


def _check_links(machine: Machine) -> None:
    """That there are no more ways between GPUs than these have links for."""
    direct = {gpu.index: 0 for gpu in machine.gpus}
    active = {gpu.index: sum(link.active for link in gpu.nvlinks) for gpu in machine.gpus}
    for pair in machine.pairs:
        if pair.nvlinks > min(active[pair.a], active[pair.b]):
            raise ValueError(f"GPU {pair.a} to GPU {pair.b} has {pair.nvlinks} NVLinks, more than one of them has up")
        if (pair.bytes_per_second or 0) > max(1, pair.nvlinks) * MAX_LINK_BYTES:
            raise ValueError(f"GPU {pair.a} to GPU {pair.b} has {pair.bytes_per_second} bytes per second")
        for index in (pair.a, pair.b) if not pair.switched else ():
            direct[index] += pair.nvlinks
            if direct[index] > active[index]:
                raise ValueError(f"GPU {index} has more NVLinks to other GPUs than are up")
        if (pair.nvlinks > 0) != pair.link.startswith("NV"):
            raise ValueError(f"GPU {pair.a} to GPU {pair.b} is {pair.link!r} with {pair.nvlinks} NVLinks")
