"""Publishes KV cache events over ZMQ as vLLM 0.32 does: each batch an array, each event in it a map.

Frames of a message: topic, sequence number (8 bytes, big-endian, from 0), msgpack. The replay socket answers
a start sequence number with every kept batch from there on and an end marker.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence

import msgspec
import zmq
import zmq.asyncio

from turnout.epp.simulator.blocks import AllBlocksCleared, BlockRemoved, BlockStored, CacheEvent

logger = logging.getLogger(__name__)

REPLAY_BATCHES = 10_000
"""How many batches the replay ring keeps; vLLM's `buffer_steps`. One batch is at most one engine step's
tokens."""

_SEQUENCE_BYTES = 8
_END_OF_REPLAY = b"\xff" * _SEQUENCE_BYTES
_HIGH_WATER_MARK = 100_000
_MAX_REPLAY_REQUEST_BYTES = 1_024


class _Stored(msgspec.Struct, tag_field="type", tag="BlockStored"):
    block_hashes: Sequence[int]
    parent_block_hash: int | None
    token_ids: list[int]
    block_size: int
    lora_id: int | None
    medium: str
    lora_name: str | None
    extra_keys: list[list[str] | None]
    group_idx: int
    kv_cache_spec_kind: str


class _Removed(msgspec.Struct, tag_field="type", tag="BlockRemoved"):
    block_hashes: list[int]
    medium: str
    group_idx: int


class _Cleared(msgspec.Struct, tag_field="type", tag="AllBlocksCleared"):
    pass


class _Batch(msgspec.Struct, array_like=True):
    ts: float
    events: list[_Stored | _Removed | _Cleared]
    data_parallel_rank: int


class EventEncoder:
    """Turns the engine's events into vLLM's msgpack."""

    def __init__(self, block_size: int, lora_names: Sequence[str]) -> None:
        self._block_size = block_size
        self._lora_ids = {name: number for number, name in enumerate(lora_names, start=1)}
        self._encoder = msgspec.msgpack.Encoder()

    def encode(self, events: Sequence[CacheEvent], timestamp: float) -> bytes:
        """Return one batch; `timestamp` is in Unix seconds."""
        return self._encoder.encode(_Batch(timestamp, [self._wire_event(event) for event in events], 0))

    def _wire_event(self, event: CacheEvent) -> _Stored | _Removed | _Cleared:
        match event:
            case BlockStored():
                return self._stored(event)
            case BlockRemoved():
                return _Removed([event.block_hash], "GPU", 0)
            case AllBlocksCleared():
                return _Cleared()

    def _stored(self, event: BlockStored) -> _Stored:
        return _Stored(
            block_hashes=event.block_hashes,
            parent_block_hash=event.parent_block_hash,
            token_ids=event.token_ids.tolist(),
            block_size=self._block_size,
            lora_id=None if event.lora_name is None else self._lora_ids[event.lora_name],
            medium="GPU",
            lora_name=event.lora_name,
            extra_keys=_extra_keys(event),
            group_idx=0,
            kv_cache_spec_kind="full_attention",
        )


def _extra_keys(event: BlockStored) -> list[list[str] | None]:
    """Say per block what its hash covers beside tokens: the adapter always, the cache salt in a prompt's
    first block.
    """
    keys = [event.lora_name] if event.lora_name is not None else []
    per_block: list[list[str] | None] = [keys or None for _ in event.block_hashes]
    if event.cache_salt is not None and event.parent_block_hash is None:
        per_block[0] = [*keys, event.cache_salt]
    return per_block


class KVEventPublisher:
    """Owns the PUB socket and, when asked for, the replay socket. Both are bound when it is built, until
    `close`.
    """

    def __init__(self, host: str, port: int, replay_port: int | None, topic: str) -> None:
        self._topic = topic.encode()
        self._context = zmq.Context()
        self._publisher = self._context.socket(zmq.PUB)
        self._publisher.setsockopt(zmq.SNDHWM, _HIGH_WATER_MARK)
        self._kept: deque[tuple[bytes, bytes]] = deque(maxlen=REPLAY_BATCHES)
        self._next_sequence = 0
        self._replay: zmq.asyncio.Socket | None = None
        self._replay_task: asyncio.Task[None] | None = None
        self.replay_port: int | None = None
        try:
            self.port = _bind(self._publisher, host, port)
            if replay_port is not None:
                self._open_replay(host, replay_port)
        except zmq.ZMQError as error:
            self._close_sockets()
            raise OSError(error.errno, f"cannot publish KV events on {host}: {error}") from error

    def publish(self, payload: bytes) -> None:
        """Send one encoded batch to whoever is subscribed and keep it for replay; never waits."""
        number = self._next_sequence.to_bytes(_SEQUENCE_BYTES, "big")
        self._next_sequence += 1
        self._publisher.send_multipart([self._topic, number, payload], zmq.NOBLOCK)
        if self._replay is not None:
            self._kept.append((number, payload))

    async def close(self) -> None:
        """Close both sockets; what subscribers have not fetched is dropped."""
        if self._replay_task is not None:
            self._replay_task.cancel()
            await asyncio.wait([self._replay_task])
        self._close_sockets()

    def _close_sockets(self) -> None:
        if self._replay is not None:
            self._replay.close(linger=0)
        self._context.destroy(linger=0)

    def _open_replay(self, host: str, port: int) -> None:
        self._replay = zmq.asyncio.Context(self._context).socket(zmq.ROUTER)
        # A ROUTER drops beyond its high-water mark: leave room for one whole replay and its end marker.
        self._replay.setsockopt(zmq.SNDHWM, 2 * REPLAY_BATCHES)
        self._replay.setsockopt(zmq.MAXMSGSIZE, _MAX_REPLAY_REQUEST_BYTES)
        self.replay_port = _bind(self._replay, host, port)
        self._replay_task = asyncio.get_running_loop().create_task(self._serve_replays(self._replay))

    async def _serve_replays(self, replay: zmq.asyncio.Socket) -> None:
        while True:
            frames = await replay.recv_multipart()
            if len(frames) != 3 or len(frames[2]) != _SEQUENCE_BYTES:
                logger.warning(
                    "KV event replay: a request needs an empty frame and 8 bytes, got %d frames", len(frames) - 1
                )
                continue
            identity, start = frames[0], frames[2]
            for number, payload in tuple(self._kept):
                # Equal length and big-endian: comparing the bytes compares the numbers.
                if number >= start:
                    await replay.send_multipart([identity, b"", self._topic, number, payload])
            await replay.send_multipart([identity, b"", b"", _END_OF_REPLAY, b""])


def _bind(socket: zmq.Socket[bytes] | zmq.asyncio.Socket, host: str, port: int) -> int:
    """Bind to a port of `host`, any free one for 0, and return it."""
    is_ipv6 = ":" in host
    socket.setsockopt(zmq.IPV6, is_ipv6)
    address = f"[{host}]" if is_ipv6 else host
    socket.bind(f"tcp://{address}:{port or '*'}")
    return int(socket.getsockopt_string(zmq.LAST_ENDPOINT).rpartition(":")[2])
