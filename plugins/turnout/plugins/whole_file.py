"""Files that are replaced as a whole."""

import os
import threading
from pathlib import Path

# A thread outlives the task that waited for it, and may still write when the next one begins.
_writing = threading.Lock()


def replace_file(path: Path, content: bytes) -> None:
    """Writes the file such that a reader sees the old or the new content, also after a loss of power.

    It waits for the disk: call it in a thread where others must not wait. One file is written at a time.

    Raises:
        OSError: it cannot be written; the old file is intact.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with _writing:
        try:
            with draft.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
