"""A publisher of KV events that publishes everything but KV events."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import zmq
import zmq.asyncio

from epp.gateway.fakes import free_port
from integration.gateways import until

LARGEST = 8 * 1024 * 1024
"""Bytes of the largest message that the picker takes."""

END_OF_REPLAY = b"\xff" * 8
SUBSCRIBE_SECONDS = 15.0


class BadPublisher:
    """Publishes on ``port`` what it is told to; on ``replay_port`` it answers with junk, and then that this was all."""

    def __init__(self) -> None:
        self.port = free_port()
        self.replay_port = free_port()
        self._context = zmq.asyncio.Context()
        self._numbers = itertools.count()
        self._socket: zmq.asyncio.Socket | None = None

    async def start(self) -> None:
        """Listens, counting from 0. After a start every earlier connection has ended."""
        self.stop()
        self._numbers = itertools.count()
        # Unlike PUB, XPUB tells of subscriptions, so that nothing is sent before somebody listens.
        self._socket = self._context.socket(zmq.XPUB)
        self._socket.setsockopt(zmq.SNDHWM, 0)

        async def bound() -> bool:
            assert self._socket is not None
            try:
                self._socket.bind(f"tcp://127.0.0.1:{self.port}")
            except zmq.ZMQError as error:
                if error.errno != zmq.EADDRINUSE:
                    raise
                # The port of a socket that was closed is free a moment later.
                return False
            return True

        await until(bound, f"port {self.port} free")

    def stop(self) -> None:
        if self._socket is not None:
            self._socket.close(linger=1000)
            self._socket = None

    async def subscribed(self) -> None:
        """Returns when somebody has subscribed since the last call or start."""
        assert self._socket is not None
        async with asyncio.timeout(SUBSCRIBE_SECONDS):
            while (await self._socket.recv())[:1] != b"\x01":
                pass

    async def send(self, *frames: bytes) -> None:
        assert self._socket is not None
        await self._socket.send_multipart(frames, copy=False)

    async def send_batch(self, payload: bytes) -> None:
        """A message in the right form, with the next number."""
        await self.send(b"kv", next(self._numbers).to_bytes(8, "big"), payload)

    async def answer_replays(self) -> None:
        """Runs until it is cancelled."""
        router = self._context.socket(zmq.ROUTER)
        router.bind(f"tcp://127.0.0.1:{self.replay_port}")
        try:
            while True:
                who, *_ = await router.recv_multipart()
                for frames in (*junk(), [b"", END_OF_REPLAY, b""]):
                    await router.send_multipart([who, *frames])
        finally:
            router.close(linger=0)

    def close(self) -> None:
        self._context.destroy(linger=0)


def junk() -> Sequence[Sequence[bytes]]:
    """Messages that have no number, too many frames, or too few."""
    number = (0).to_bytes(8, "big")
    return [
        [os.urandom(1000)],
        [b"", b""],
        [b"kv", number],
        [b"kv", b"1", os.urandom(10)],
        [b"kv", number + b"0", b"\x90"],
        [b"kv", number, b"", b"", os.urandom(100)],
        [b""] * 100,
    ]


@asynccontextmanager
async def bad_publisher() -> AsyncIterator[BadPublisher]:
    publisher = BadPublisher()
    answering = asyncio.create_task(publisher.answer_replays())
    try:
        await publisher.start()
        yield publisher
    finally:
        answering.cancel()
        await asyncio.wait([answering])
        publisher.close()
