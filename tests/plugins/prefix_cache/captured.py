"""KV events that a real vLLM 0.32.0 published, as the picker gets them."""

import json
from collections.abc import Sequence
from pathlib import Path

import msgspec

from turnout.plugins.prefix_cache.kv_events import EventBatch, decode_batch

_SAMPLES = Path(__file__).resolve().parent / "samples"


def captured_batches() -> Sequence[EventBatch]:
    """Every batch, in the order of the file: 0 to 2 and 3 to 7 are of one publisher each, 8 and 9 of two others."""
    lines = (_SAMPLES / "vllm-0.32.0-kv-events-decoded.jsonl").read_text().splitlines()
    return [decode_batch(msgspec.msgpack.encode(_with_bytes(json.loads(line)["payload"]))) for line in lines]


def _with_bytes(value: object) -> object:
    """The file spells bytes as hexadecimal digits."""
    match value:
        case str() if value.startswith("hex:"):
            return bytes.fromhex(value.removeprefix("hex:"))
        case list():
            return [_with_bytes(item) for item in value]
        case dict():
            return {key: _with_bytes(item) for key, item in value.items()}
    return value
