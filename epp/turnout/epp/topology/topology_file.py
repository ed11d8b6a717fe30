"""Files that are replaced as a whole."""

import os
from pathlib import Path


def replace_file(path: Path, content: bytes) -> bool:
    """Writes the file such that a reader sees the old or the new content; says whether they differ.

    A file that has this content already is left alone, so its time says when something changed.

    Raises:
        OSError: it cannot be written; an old file is intact.
    """
    if _content(path) == content:
        return False
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return True


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
