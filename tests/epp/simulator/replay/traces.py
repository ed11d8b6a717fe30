"""Small traces."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random

Line = dict[str, object]


def line(timestamp: float, hash_ids: Sequence[int], *, input_length: int | None = None, output_length: int = 4) -> Line:
    """One request; the prompt fills its blocks unless a length is given."""
    length = len(hash_ids) * 512 if input_length is None else input_length
    return {
        "timestamp": timestamp,
        "input_length": length,
        "output_length": output_length,
        "hash_ids": list(hash_ids),
    }


def written(folder: Path, lines: Iterable[Line]) -> Path:
    """The trace as a file."""
    file = folder / "trace.jsonl"
    file.write_text("".join(f"{json.dumps(entry)}\n" for entry in lines))
    return file


def conversations(count: int, turns: int, seed: int = 0) -> list[Line]:
    """Chats that all begin with block 0; each turn adds a block to its prompt. Turns come in a second each."""
    random = Random(seed)
    lines = [
        line(
            1000.0 * turn + random.randrange(1000),
            [0, *(1000 * (chat + 1) + block for block in range(turn + 1))],
            output_length=random.randrange(1, 30),
        )
        for chat in range(count)
        for turn in range(turns)
    ]
    return sorted(lines, key=lambda entry: float(str(entry["timestamp"])))
