"""Reads traces in Mooncake's format and makes prompts of them.

One JSON object a line: ``timestamp`` in milliseconds, ``input_length`` and ``output_length`` in tokens, ``hash_ids``
with one id for each 512 tokens of the prompt, of which the last may be shorter. Equal leading ids mean equal leading
tokens. The text of a prompt keeps that: each id gives the same text, four characters to a token, which is what the
simulated engines count as one.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, BinaryIO

import msgspec

from turnout.epp.simulator.tokens import BYTES_PER_TOKEN

BLOCK_TOKENS = 512
MAX_REQUESTS = 1_000_000
MAX_LINE_BYTES = 1024 * 1024
MAX_TOKENS = 1_048_576
MAX_TIMESTAMP_MS = 1e12

_Tokens = Annotated[int, msgspec.Meta(ge=1, le=MAX_TOKENS)]
_HashId = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class _Line(msgspec.Struct):
    timestamp: Annotated[float, msgspec.Meta(ge=0, le=MAX_TIMESTAMP_MS)]
    input_length: _Tokens
    output_length: _Tokens
    hash_ids: tuple[_HashId, ...]


_decode = msgspec.json.Decoder(_Line).decode


class TraceError(Exception):
    """A trace cannot be used; the message names the file and the line."""


@dataclass(frozen=True, slots=True)
class TracedRequest:
    """One request. ``arrival_seconds`` counts from the first request of the trace."""

    arrival_seconds: float
    input_tokens: int
    output_tokens: int
    hash_ids: tuple[int, ...]

    def prompt(self) -> str:
        """The prompt's text in letters and digits: four characters to a token, equal where leading ids are."""
        text = "".join(map(_block_text, self.hash_ids))
        return text[: self.input_tokens * BYTES_PER_TOKEN]


def _block_text(hash_id: int) -> str:
    digest_bytes = BLOCK_TOKENS * BYTES_PER_TOKEN // 2
    return hashlib.shake_128(hash_id.to_bytes(8, "little")).hexdigest(digest_bytes)


def read_trace(path: Path, *, speed: float = 1.0, limit: int | None = None) -> list[TracedRequest]:
    """The first ``limit`` requests (default: all) in order of arrival, arriving ``speed`` times as fast.

    At most 1,000,000 requests of at most 1,048,576 tokens in lines of at most 1 MiB.

    Raises:
        TraceError: the file cannot be read, holds no request, or has a line that is not one.
    """
    wanted = MAX_REQUESTS + 1 if limit is None else limit
    try:
        with path.open("rb") as file:
            lines = [_read_line(path, number, line) for number, line in islice(_lines(file), wanted)]
    except OSError as error:
        raise TraceError(f"{path}: cannot be read: {error.strerror}") from error
    if not lines:
        raise TraceError(f"{path}: holds no request")
    if len(lines) > MAX_REQUESTS:
        raise TraceError(f"{path}: holds more than {MAX_REQUESTS} requests")
    lines.sort(key=lambda line: line.timestamp)
    first = lines[0].timestamp
    return [
        TracedRequest((line.timestamp - first) / 1000 / speed, line.input_length, line.output_length, line.hash_ids)
        for line in lines
    ]


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Lines that are not blank with their numbers; of a line over the bound only its beginning."""
    number = 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES or not line.isspace():
            yield number, line


def _read_line(path: Path, number: int, text: bytes) -> _Line:
    if len(text) > MAX_LINE_BYTES:
        raise TraceError(f"{path}:{number}: the line is longer than {MAX_LINE_BYTES} bytes")
    try:
        line = _decode(text)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise TraceError(f"{path}:{number}: {error}") from None
    blocks = -(-line.input_length // BLOCK_TOKENS)
    if len(line.hash_ids) != blocks:
        raise TraceError(
            f"{path}:{number}: input_length {line.input_length} needs {blocks} hash_ids of {BLOCK_TOKENS} tokens, "
            f"got {len(line.hash_ids)}"
        )
    return line
