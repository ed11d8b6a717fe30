import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.epp.observe.events import Batch, EventHub, Listener, TooManyListenersError
from turnout.framework import Announce, Event, ExtensionPoint, PluginError


class Bell:
    """Tells of numbers."""

    announce: Announce

    def announce_to(self, announce: Announce) -> None:
        self.announce = announce

    def ring(self, *numbers: int, kind: str = "rang") -> None:
        for number in numbers:
            self.announce(Event(kind, float(number), {"number": number}))


def raise_it(error: PluginError) -> None:
    raise error


def hub_of(*bells: Bell, capacity: int = 1000, max_listeners: int = 16) -> EventHub:
    hub = EventHub(
        "rang", raise_it, capacity=capacity, max_listeners=max_listeners, run_id="run", wall_clock=lambda: 0.25
    )
    hub.follow({f"bell-{number}": bell for number, bell in enumerate(bells)})
    return hub


def numbers(batch: Batch | None) -> list[int]:
    assert batch is not None
    return [json.loads(event.data)["number"] for event in batch.events]


async def everything(listener: Listener) -> tuple[list[int], int]:
    """All numbers that can be read without waiting, and how many were dropped."""
    found, dropped = list[int](), 0
    while True:
        reading = asyncio.ensure_future(listener.next())
        await asyncio.sleep(0)
        if not reading.done():
            reading.cancel()
            return found, dropped
        batch = reading.result()
        if batch is None:
            return found, dropped
        found += numbers(batch)
        dropped += batch.dropped


async def test_an_event_is_told_with_its_plugin_and_both_times() -> None:
    bell = Bell()
    with hub_of(bell).listen() as listener:
        bell.ring(7)
        batch = await listener.next()
    assert batch is not None
    assert [event.id for event in batch.events] == ["run-1"]
    assert json.loads(batch.events[0].data) == {
        "number": 7,
        "plugin": "bell-0",
        "at": 7.0,
        "time": "1970-01-01T00:00:00.250000+00:00",
    }


async def test_whoever_waits_is_woken_by_the_event() -> None:
    bell = Bell()
    with hub_of(bell).listen() as listener:
        waiting = asyncio.create_task(listener.next())
        await asyncio.sleep(0)
        assert not waiting.done()
        bell.ring(1)
        assert numbers(await waiting) == [1]


async def test_waiting_can_be_cancelled_without_a_loss() -> None:
    bell = Bell()
    with hub_of(bell).listen() as listener:
        waiting = asyncio.create_task(listener.next())
        await asyncio.sleep(0)
        waiting.cancel()
        bell.ring(1, 2)
        assert numbers(await listener.next()) == [1, 2]


async def test_events_of_all_plugins_are_told_in_their_order_and_those_of_other_kinds_are_not() -> None:
    one, two = Bell(), Bell()
    with hub_of(one, two).listen() as listener:
        one.ring(1)
        two.ring(2)
        one.ring(9, kind="rung")
        one.ring(3)
        assert (await everything(listener)) == ([1, 2, 3], 0)


async def test_a_plugin_that_was_replaced_may_still_tell() -> None:
    old, fresh = Bell(), Bell()
    hub = hub_of(old)
    with hub.listen() as listener:
        hub.follow({"bell": fresh, "silent": object()})
        old.ring(1)
        fresh.ring(2)
        assert (await everything(listener)) == ([1, 2], 0)


async def test_a_slow_listener_loses_the_oldest_and_is_told_how_many_while_others_lose_nothing() -> None:
    bell = Bell()
    hub = hub_of(bell, capacity=10)
    with hub.listen() as slow, hub.listen() as quick:
        bell.ring(*range(8))
        assert await everything(quick) == (list(range(8)), 0)
        bell.ring(*range(8, 16))
        assert await everything(quick) == (list(range(8, 16)), 0)
        assert await everything(slow) == (list(range(6, 16)), 6)
        bell.ring(16)
        assert await everything(slow) == ([16], 0)


async def test_many_events_come_in_batches() -> None:
    bell = Bell()
    with hub_of(bell).listen() as listener:
        bell.ring(*range(250))
        batches = [await listener.next() for _ in range(3)]
    assert [len(numbers(batch)) for batch in batches] == [100, 100, 50]


@pytest.mark.parametrize(
    ("last_id", "heard", "dropped"),
    [
        pytest.param(None, [6], 0, id="none: from now on"),
        pytest.param("run-4", [5, 6], 0, id="one that is kept"),
        pytest.param("run-5", [6], 0, id="the latest"),
        pytest.param("run-1", [3, 4, 5, 6], 1, id="one that is not kept any more"),
        pytest.param("run-0", [3, 4, 5, 6], 2, id="before the first"),
        pytest.param("run-99", [6], 0, id="one that has not been"),
        pytest.param("other-4", [3, 4, 5, 6], 0, id="of an earlier process"),
        pytest.param("", [3, 4, 5, 6], 0, id="empty"),
        pytest.param("run-", [3, 4, 5, 6], 0, id="without a number"),
        pytest.param("run-\u00b2", [3, 4, 5, 6], 0, id="a number that is none"),
        pytest.param("run-" + "9" * 5000, [3, 4, 5, 6], 0, id="a huge number"),
        pytest.param("run--1", [3, 4, 5, 6], 0, id="a negative number"),
    ],
)
async def test_listening_goes_on_after_the_last_event_that_was_heard(
    last_id: str | None, heard: list[int], dropped: int
) -> None:
    bell = Bell()
    hub = hub_of(bell, capacity=3)
    bell.ring(1, 2, 3, 4, 5)
    with hub.listen(last_id) as listener:
        if heard[0] == 3:
            assert await everything(listener) == ([3, 4, 5], dropped)
            heard, dropped = [6], 0
        bell.ring(6)
        assert await everything(listener) == (heard, dropped)


async def test_the_number_of_listeners_is_bounded_and_a_place_comes_back() -> None:
    hub = hub_of(max_listeners=2)
    with hub.listen():
        with hub.listen(), pytest.raises(TooManyListenersError, match="2 listen already"), hub.listen():
            pass
        with hub.listen():
            pass


async def test_closing_ends_listening_after_what_was_told() -> None:
    bell = Bell()
    hub = hub_of(bell)
    with hub.listen() as listener, hub.listen() as idle:
        waiting = asyncio.create_task(idle.next())
        await asyncio.sleep(0)
        hub.close()
        assert await waiting is None
        bell.ring(1)
        assert numbers(await listener.next()) == [1]
        assert await listener.next() is None


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        pytest.param("x" * 100_000, "x" * 256, id="long"),
        pytest.param("a\ud800\x1b", "a\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}", id="not printable"),
        pytest.param(float("nan"), None, id="no number"),
        pytest.param(float("inf"), None, id="infinite"),
        pytest.param(None, None, id="nothing"),
    ],
)
async def test_values_of_clients_become_short_lines_of_json(value: Any, shown: str | None) -> None:
    bell = Bell()
    with hub_of(bell).listen() as listener:
        bell.announce(Event("rang", float("nan"), {"value": value, "plugin": "forged"}))
        batch = await listener.next()
    assert batch is not None
    document = json.loads(batch.events[0].data)
    assert (document["value"], document["plugin"], document["at"]) == (shown, "bell-0", None)
    assert b"\n" not in batch.events[0].data


def test_a_plugin_that_cannot_be_followed_is_reported() -> None:
    class Broken:
        def announce_to(self, announce: Announce) -> None:
            raise RuntimeError("deaf")

    failures: list[PluginError] = []
    EventHub("rang", failures.append).follow({"broken": Broken()})
    assert [(error.plugin, error.extension_point) for error in failures] == [("broken", ExtensionPoint.EVENT_SOURCE)]


def test_two_processes_have_different_ids() -> None:
    ids = set()
    for _ in range(2):
        bell, hub = Bell(), EventHub("rang", raise_it)
        hub.follow({"bell": bell})
        bell.ring(1)
        batch = hub.after(0)
        assert batch is not None
        ids.add(batch.events[0].id)
    assert len(ids) == 2


@given(
    capacity=st.integers(1, 20),
    steps=st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=20),
)
def test_what_is_heard_and_what_is_dropped_is_everything(capacity: int, steps: list[tuple[int, bool]]) -> None:
    async def play() -> None:
        bell, told, heard, dropped = Bell(), 0, list[int](), 0
        with hub_of(bell, capacity=capacity).listen() as listener:
            for count, reads in [*steps, (0, True)]:
                bell.ring(*range(told, told + count))
                told += count
                if reads:
                    found, lost = await everything(listener)
                    assert found == list(range(told - len(found), told))
                    heard += found
                    dropped += lost
        assert len(heard) + dropped == told
        assert heard == sorted(set(heard))

    asyncio.run(play())
