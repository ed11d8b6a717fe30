"""What was learnt, in a file, so that a restarted picker need not learn it again.

Format: one JSON document with a mark and, for each variant, the factors of its parts. A file is replaced as a whole.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import msgspec

from turnout.plugins.whole_file import replace_file

MARK = "turnout-latency-1"
MAX_FILE_BYTES = 1024 * 1024

Factors = Mapping[str, Mapping[str, float]]
"""By ``ttft`` and ``tpot``, and by part."""


class _Document(msgspec.Struct, forbid_unknown_fields=True):
    mark: str
    variants: dict[str, dict[str, dict[str, float]]]


def write_learnt(path: Path, variants: Mapping[str, Factors]) -> None:
    """Replaces the file. Blocks: call it in a thread.

    Raises:
        OSError: it cannot be written; the old file is as it was.
    """
    document = _Document(
        MARK, {name: {kind: dict(of) for kind, of in kinds.items()} for name, kinds in variants.items()}
    )
    replace_file(path, msgspec.json.encode(document))


def read_learnt(path: Path) -> Mapping[str, Factors]:
    """What the file holds; nothing if there is no file.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not such a file, or a factor is not positive and finite.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return {}
    if len(content) > MAX_FILE_BYTES:
        raise ValueError(f"{path} has more than {MAX_FILE_BYTES} bytes")
    try:
        document = msgspec.json.decode(content, type=_Document)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is no file of learnt latencies: {error}") from None
    if document.mark != MARK:
        raise ValueError(f"{path} has the mark {document.mark[:40]!r}, not {MARK!r}")
    for name, kinds in document.variants.items():
        for kind, factors in kinds.items():
            for part, factor in factors.items():
                if not 0.0 < factor < math.inf:
                    raise ValueError(f"{path}: factor {part} of {kind} of variant {name!r} is {factor}")
    return document.variants
