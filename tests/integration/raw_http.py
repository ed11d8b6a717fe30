"""Requests that no HTTP client library would send."""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

CHUNK = 64 * 1024

# HTTP/2 (RFC 9113) frame types and flags, and the HPACK (RFC 7541) static index of `:status: 200`.
_DATA, _HEADERS, _RST_STREAM, _SETTINGS = 0, 1, 3, 4
_END_STREAM, _ACK, _END_HEADERS = 1, 1, 4
_STATUS_200 = 0x88


@asynccontextmanager
async def connection(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A TCP connection to the gateway."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


@dataclass(frozen=True)
class RawAnswer:
    """The head of an HTTP/1.1 answer in lower case, and its body as far as its content-length says."""

    status: int
    head: str
    body: bytes


async def read_answer(reader: asyncio.StreamReader) -> RawAnswer:
    """Reads an answer with a content-length."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
    body = await reader.readexactly(int(fields["content-length"]))
    return RawAnswer(int(head.split()[1]), head, body)


async def send_without_end(port: int, path: str) -> tuple[RawAnswer, int]:
    """Sends a chunked body that would never end; returns the answer and the bytes taken from us by then."""
    async with connection(port) as (reader, writer):
        writer.write(f"POST {path} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n".encode())
        answering = asyncio.ensure_future(read_answer(reader))
        sent = 0
        while not answering.done():
            writer.write(b"%x\r\n%s\r\n" % (CHUNK, b" " * CHUNK))
            sent += CHUNK
            draining = asyncio.ensure_future(writer.drain())
            await asyncio.wait((draining, answering), return_when=asyncio.FIRST_COMPLETED)
            draining.cancel()
        return await answering, sent


class Http2Client:
    """Several POSTs over one HTTP/2 connection; all bodies together within the first window of 64 KB."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._bodies: dict[int, bytes] = {}
        self._ended: set[int] = set()
        self._reset: set[int] = set()

    @classmethod
    @asynccontextmanager
    async def connected(cls, port: int) -> AsyncIterator[Self]:
        async with connection(port) as (reader, writer):
            writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(_SETTINGS, 0, b"", stream=0))
            yield cls(reader, writer)

    async def post(self, path: str, body: bytes) -> int:
        """Sends a request and returns its stream."""
        stream = 1 + 2 * len(self._bodies)
        head = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "x"}
        self._writer.write(_frame(_HEADERS, _END_HEADERS, _literals(head), stream=stream))
        self._writer.write(_frame(_DATA, _END_STREAM, body, stream=stream))
        await self._writer.drain()
        self._bodies[stream] = b""
        return stream

    def body(self, stream: int) -> bytes:
        return self._bodies[stream]

    def ended(self, stream: int) -> bool:
        return stream in self._ended

    def was_reset(self, stream: int) -> bool:
        return stream in self._reset

    async def read_until(self, condition: Callable[[], bool]) -> None:
        """Takes frames until the condition holds."""
        while not condition():
            prefix = await self._reader.readexactly(9)
            size, kind, flags = int.from_bytes(prefix[:3], "big"), prefix[3], prefix[4]
            stream = int.from_bytes(prefix[5:9], "big")
            payload = await self._reader.readexactly(size)
            if kind == _SETTINGS and not flags & _ACK:
                self._writer.write(_frame(_SETTINGS, _ACK, b"", stream=0))
            elif kind == _DATA:
                self._bodies[stream] += payload
            elif kind == _RST_STREAM:
                self._reset.add(stream)
                self._ended.add(stream)
            if kind in (_HEADERS, _DATA) and flags & _END_STREAM:
                self._ended.add(stream)


async def post_with_trailers(port: int, path: str, body: bytes, trailers: dict[str, str]) -> tuple[bool, bytes]:
    """Posts over HTTP/2 a body that trailers end; returns whether the status was 200, and the answer's body."""
    head = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "x", "te": "trailers"}
    async with connection(port) as (reader, writer):
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(_SETTINGS, 0, b"", stream=0))
        writer.write(_frame(_HEADERS, _END_HEADERS, _literals(head)))
        writer.write(_frame(_DATA, 0, body))
        writer.write(_frame(_HEADERS, _END_HEADERS | _END_STREAM, _literals(trailers)))
        return await _read_response(reader, writer)


async def _read_response(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[bool, bytes]:
    succeeded, body = False, b""
    while True:
        prefix = await reader.readexactly(9)
        size, kind, flags = int.from_bytes(prefix[:3], "big"), prefix[3], prefix[4]
        payload = await reader.readexactly(size)
        if kind == _SETTINGS and not flags & _ACK:
            writer.write(_frame(_SETTINGS, _ACK, b"", stream=0))
        elif kind == _HEADERS:
            succeeded = succeeded or payload[0] == _STATUS_200
        elif kind == _DATA:
            body += payload
        if kind in (_HEADERS, _DATA) and flags & _END_STREAM:
            return succeeded, body


def _frame(kind: int, flags: int, payload: bytes, *, stream: int = 1) -> bytes:
    return len(payload).to_bytes(3, "big") + struct.pack(">BBI", kind, flags, stream) + payload


def _literals(fields: dict[str, str]) -> bytes:
    """HPACK literals without indexing and without Huffman coding; no text is longer than 126 bytes."""
    return b"".join(b"\0" + _text(name) + _text(value) for name, value in fields.items())


def _text(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()
