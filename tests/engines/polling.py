"""Waits for what another process does in its own time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

_POLL_SECONDS = 0.05


async def until(read: Callable[[], Awaitable[T]], accept: Callable[[T], bool], seconds: float = 60.0) -> T:
    """The first value that is accepted. A read that runs into a time limit of its own is repeated.

    Raises:
        AssertionError: none was within `seconds`; the message holds the last one.
    """
    deadline = time.monotonic() + seconds
    last: T | TimeoutError
    while True:
        try:
            last = value = await read()
            if accept(value):
                return value
        except TimeoutError as error:
            last = error
        assert time.monotonic() < deadline, f"still so after {seconds:g} s: {last!r}"
        await asyncio.sleep(_POLL_SECONDS)
