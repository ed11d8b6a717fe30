"""Notices when the configuration file has other content."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

from watchfiles import awatch

_DEBOUNCE_MS = 200
_STEP_MS = 50


async def content_changes(path: Path) -> AsyncIterator[None]:
    """Yields after each change of the file's content, until cancelled.

    A file that cannot be read is waited for. The folder is watched, because editors replace files by renaming and
    Kubernetes exchanges a link beside them.
    """
    seen = _digest(path)
    async for _ in awatch(path.parent, recursive=False, debounce=_DEBOUNCE_MS, step=_STEP_MS):
        found = _digest(path)
        if found is not None and found != seen:
            seen = found
            yield


def _digest(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:
        return None
