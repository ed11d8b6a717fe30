import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

import pytest

from turnout.epp.datalayer.shared_pages import SharedPages


@dataclass
class Host:
    """Answers with what it is told to, where it is to wait once it may; counts the questions."""

    outcome: bytes | Exception = b"page"
    may: asyncio.Event | None = None
    questions: int = 0
    cancelled: bool = False

    async def __call__(self) -> bytes:
        self.questions += 1
        try:
            if self.may is not None:
                await self.may.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


async def asked(pages: SharedPages, *hosts: tuple[str, Callable[[], Coroutine[None, None, bytes]]]) -> list[bytes]:
    return [await pages.page(name, host) for name, host in hosts]


async def test_a_host_is_asked_once_within_the_time_and_again_after_it() -> None:
    clock, host = Clock(), Host()
    pages = SharedPages(5.0, clock)
    assert await asked(pages, ("a", host), ("a", host)) == [b"page", b"page"]
    clock.now = 104.9
    host.outcome = b"later"
    assert await pages.page("a", host) == b"page"
    clock.now = 105.0
    assert await pages.page("a", host) == b"later"
    assert host.questions == 2


async def test_those_that_come_while_a_host_is_asked_wait_for_the_same_answer() -> None:
    may = asyncio.Event()
    host, other = Host(may=may), Host(b"other")
    pages = SharedPages(5.0, Clock())
    waiting = [asyncio.create_task(pages.page("a", host)) for _ in range(3)]
    assert await pages.page("b", other) == b"other"
    may.set()
    assert await asyncio.gather(*waiting) == [b"page"] * 3
    assert host.questions == 1


async def test_a_question_that_takes_longer_than_pages_are_kept_is_not_asked_twice() -> None:
    may = asyncio.Event()
    clock, host = Clock(), Host(may=may)
    pages = SharedPages(5.0, clock)
    first = asyncio.create_task(pages.page("a", host))
    await asyncio.sleep(0)
    clock.now = 200.0
    second = asyncio.create_task(pages.page("a", host))
    await asyncio.sleep(0)
    may.set()
    assert [await first, await second] == [b"page", b"page"]
    assert host.questions == 1


async def test_a_failure_is_everybody_s_until_the_time_is_over() -> None:
    clock, host = Clock(), Host(OSError("refused"))
    pages = SharedPages(5.0, clock)
    for _ in range(3):
        with pytest.raises(OSError, match="refused"):
            await pages.page("a", host)
    assert host.questions == 1
    clock.now, host.outcome = 105.0, b"page"
    assert await pages.page("a", host) == b"page"


async def test_who_is_cancelled_does_not_spoil_it_for_the_others() -> None:
    may = asyncio.Event()
    host = Host(may=may)
    pages = SharedPages(5.0, Clock())
    first, second = (asyncio.create_task(pages.page("a", host)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    may.set()
    assert await second == b"page"
    assert (first.cancelled(), host.questions) == (True, 1)


async def test_beyond_the_bytes_the_oldest_page_goes_and_its_host_is_asked_again() -> None:
    small, big, new = Host(b"s" * 30), Host(b"b" * 40), Host(b"n" * 50)
    pages = SharedPages(5.0, Clock(), max_bytes=100)
    await asked(pages, ("small", small), ("big", big), ("new", new))
    await asked(pages, ("big", big), ("new", new), ("small", small))
    assert (small.questions, big.questions, new.questions) == (2, 1, 1)
    # The second page of the small host pushed out the big one's.
    await asked(pages, ("new", new), ("small", small), ("big", big))
    assert (small.questions, big.questions, new.questions) == (2, 2, 1)


async def test_a_page_that_is_larger_than_all_that_may_be_kept_is_handed_out_and_not_kept() -> None:
    huge = Host(b"h" * 101)
    pages = SharedPages(5.0, Clock(), max_bytes=100)
    assert await asked(pages, ("a", huge), ("a", huge)) == [b"h" * 101] * 2
    assert huge.questions == 2


async def test_hosts_that_left_are_forgotten_when_another_one_is_asked() -> None:
    clock = Clock()
    pages = SharedPages(5.0, clock)
    for number in range(20):
        clock.now += 2.0
        await pages.page(f"host-{number}", Host())
    assert list(pages._asked) == ["host-17", "host-18", "host-19"]


async def test_closing_ends_what_is_under_way_and_forgets_the_rest() -> None:
    host, known = Host(may=asyncio.Event()), Host()
    pages = SharedPages(5.0, Clock())
    await pages.page("known", known)
    waiting = asyncio.create_task(pages.page("a", host))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    pages.close()
    await asyncio.wait([waiting])
    assert (waiting.cancelled(), host.cancelled) == (True, True)
    assert await pages.page("known", known) == b"page"
    assert known.questions == 2
