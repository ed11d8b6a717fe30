"""An event loop whose clock jumps to the next timer whenever nothing is ready.

Everything that asks the running loop for the time and sleeps on it runs on virtual time: in the same order each
time, and as fast as the CPU allows. The clock stands still while code runs. There is no I/O: a selector that never
looks at a file descriptor is what makes the jump possible.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import TypeVar

T = TypeVar("T")

START_SECONDS = 1000.0
"""Where the clock starts: like a monotonic clock not at zero, which plugins may take for "never"."""


class StalledError(RuntimeError):
    """Every task waits for something that no task and no timer will bring."""


class _Jump(selectors.SelectSelector):
    """Passes the time that a real selector would have waited."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START_SECONDS

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise StalledError("nothing is left that could happen, and the replay has not ended")
        self.now += max(0.0, timeout)
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """The loop; ``time()`` is in virtual seconds.

    A program that waits forever ends with ``StalledError`` out of the call that runs the loop.
    """

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        """Virtual seconds; moves only when nothing is ready."""
        return self._jump.now


def run_virtually(main: Coroutine[object, object, T]) -> T:
    """The coroutine's result, from a loop of its own. SIGINT cancels it and raises KeyboardInterrupt.

    Raises:
        StalledError: the coroutine waits for what never comes.
    """
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
