"""A topology in a file that changes only when the topology does."""

from pathlib import Path

from turnout.plugins.whole_file import replace_file


def write_changed(path: Path, content: bytes) -> bool:
    """Writes the file such that a reader sees the old or the new content; says whether they differ.

    A file that has this content already is left alone, so its time says when something changed.

    Raises:
        OSError: it cannot be written; an old file is intact.
    """
    if _content(path) == content:
        return False
    replace_file(path, content)
    return True


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
