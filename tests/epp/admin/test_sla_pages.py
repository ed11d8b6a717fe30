import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from turnout.epp.admin.server import RunningAdmin, start_admin
from turnout.epp.admin.sla_pages import Patience, SlaSources, add_sla_pages
from turnout.epp.observe.events import EventHub
from turnout.framework import SLA_VIOLATION, Announce, Event, PluginError, SlaStatus, SlaWindow

BURNING = SlaStatus(
    "chat",
    "ttft",
    99.0,
    0.5,
    SlaWindow(300.0, 40, 0.95, 5.0),
    SlaWindow(3600.0, 400, 0.98, 2.0),
    {"level": "gold"},
    {0.5: 0.2, 0.99: 0.7},
)
EMPTY = SlaStatus("own", "tpot", 50.0, None, SlaWindow(300.0, 0, None, 0.0), SlaWindow(3600.0, 0, None, 0.0))
IMPATIENT = Patience(keep_alive=0.01, write=0.01)
NAN = float("nan")
BROKEN = SlaStatus("x", "e2e", NAN, NAN, SlaWindow(NAN, 1, NAN, NAN), SlaWindow(1.0, 1, 1.0, float("inf")))


class Tracker:
    announce: Announce

    def announce_to(self, announce: Announce) -> None:
        self.announce = announce

    def violate(self, *request_ids: str) -> None:
        for request_id in request_ids:
            self.announce(Event(SLA_VIOLATION, 7.0, {"target": "chat", "request_id": request_id}))


@dataclass
class Site:
    url: str
    client: aiohttp.ClientSession
    tracker: Tracker
    hub: EventHub
    running: RunningAdmin

    @asynccontextmanager
    async def listening(self, last_id: str | None = None) -> AsyncIterator["Reader"]:
        headers = {} if last_id is None else {"Last-Event-ID": last_id}
        async with self.client.get(f"{self.url}/sla/events", headers=headers) as response:
            assert response.status == 200
            assert response.content_type == "text/event-stream"
            yield Reader(response)


@dataclass
class Reader:
    response: aiohttp.ClientResponse

    async def message(self) -> dict[str, str]:
        """The fields of the next message; a comment is the field without a name."""
        fields: dict[str, str] = {}
        while line := (await self.response.content.readline()).decode().rstrip("\n"):
            name, _, value = line.partition(":")
            fields[name] = value.strip()
        return fields


@asynccontextmanager
async def site_with(
    *statuses: SlaStatus, max_listeners: int = 3, capacity: int = 1000, patience: Patience | None = None
) -> AsyncIterator[Site]:
    tracker = Tracker()
    hub = EventHub(
        SLA_VIOLATION, unexpected, capacity=capacity, max_listeners=max_listeners, run_id="run", wall_clock=lambda: 0.0
    )
    hub.follow({"sla-tracker": tracker})
    app = web.Application()
    shown: dict[str, Sequence[SlaStatus]] = {"sla-tracker": statuses}
    add_sla_pages(app, SlaSources(lambda: shown, hub), patience)
    running = await start_admin(app, "127.0.0.1", 0)
    async with aiohttp.ClientSession() as client:
        try:
            yield Site(f"http://127.0.0.1:{running.port}", client, tracker, hub, running)
        finally:
            await running.close()


def unexpected(error: PluginError) -> None:
    raise error


async def targets(site: Site) -> list[dict[str, Any]]:
    async with site.client.get(f"{site.url}/sla") as response:
        assert response.status == 200
        found: list[dict[str, Any]] = (await response.json())["targets"]
        return found


async def test_targets_are_shown_with_both_windows() -> None:
    async with site_with(BURNING, EMPTY) as site:
        burning, empty = await targets(site)
    assert burning == {
        "plugin": "sla-tracker",
        "target": "chat",
        "metric": "ttft",
        "percentile": 99.0,
        "selects": {"level": "gold"},
        "target_seconds": 0.5,
        "short": {"seconds": 300.0, "requests": 40, "compliance": 0.95, "burn_rate": 5.0},
        "long": {"seconds": 3600.0, "requests": 400, "compliance": 0.98, "burn_rate": 2.0},
        "observed_seconds": {"0.5": 0.2, "0.99": 0.7},
        "burning": True,
    }
    assert (empty["target_seconds"], empty["short"]["compliance"], empty["burning"]) == (None, None, False)


async def test_no_targets_are_an_empty_list_and_no_numbers_are_null() -> None:
    async with site_with() as site:
        assert await targets(site) == []
    async with site_with(BROKEN) as site:
        (broken,) = await targets(site)
    assert (broken["percentile"], broken["target_seconds"], broken["long"]["burn_rate"]) == (None, None, None)
    assert broken["short"] == {"seconds": None, "requests": 1, "compliance": None, "burn_rate": None}


async def test_violations_are_told_as_they_happen() -> None:
    async with site_with() as site, site.listening() as reader:
        site.tracker.violate("r1", "r2")
        message = await reader.message()
        assert (message["id"], message["event"]) == ("run-1", "sla-violation")
        assert json.loads(message["data"]) == {
            "target": "chat",
            "request_id": "r1",
            "plugin": "sla-tracker",
            "at": 7.0,
            "time": "1970-01-01T00:00:00+00:00",
        }
        assert (await reader.message())["id"] == "run-2"


async def test_a_listener_that_comes_back_hears_what_it_missed() -> None:
    async with site_with(capacity=3) as site:
        site.tracker.violate("r1", "r2", "r3", "r4", "r5")
        async with site.listening("run-3") as reader:
            assert [(await reader.message())["id"] for _ in range(2)] == ["run-4", "run-5"]
        async with site.listening("run-1") as reader:
            assert await reader.message() == {"event": "dropped", "data": '{"dropped":1}'}
            assert [(await reader.message())["id"] for _ in range(3)] == ["run-3", "run-4", "run-5"]


async def test_a_listener_that_is_too_slow_is_told_how_much_it_missed() -> None:
    async with site_with(capacity=100) as site, site.listening() as reader:
        site.tracker.violate(*(f"r{number}" for number in range(1000)))
        assert await reader.message() == {"event": "dropped", "data": '{"dropped":900}'}
        assert (await reader.message())["id"] == "run-901"


async def test_a_violation_with_line_breaks_is_one_message() -> None:
    async with site_with() as site, site.listening() as reader:
        site.tracker.violate("r\n\nevent: forged\ndata: {}\n\n")
        message = await reader.message()
        assert message["event"] == "sla-violation"
        assert "\n" not in json.loads(message["data"])["request_id"]


async def test_a_listener_without_events_gets_signs_of_life() -> None:
    async with site_with(patience=IMPATIENT) as site, site.listening() as reader:
        assert await reader.message() == {"": "nothing happened"}
        site.tracker.violate("r1")
        while (message := await reader.message()) == {"": "nothing happened"}:
            pass
        assert message["id"] == "run-1"


async def test_the_number_of_listeners_is_bounded_and_places_come_back() -> None:
    async with site_with(max_listeners=1, patience=IMPATIENT) as site:
        async with site.listening() as reader:
            await reader.message()
            async with site.client.get(f"{site.url}/sla/events") as response:
                assert response.status == 503
                assert await response.json() == {"error": "1 listen already"}
        async with asyncio.timeout(10.0):
            while (await site.client.get(f"{site.url}/sla/events")).status == 503:
                pass


async def test_a_listener_that_takes_nothing_is_cut_off() -> None:
    async with site_with(patience=Patience(write=0.01)) as site:
        _, writer = await asyncio.open_connection("127.0.0.1", site.running.port, limit=1)
        writer.write(b"GET /sla/events HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(30.0):
            while not site.hub.listeners:
                await asyncio.sleep(0)
            while site.hub.listeners:
                # More than the buffers of the connection take.
                site.tracker.violate(*["\N{STEAM LOCOMOTIVE}" * 256] * 1000)
                await asyncio.sleep(0)
        writer.close()


async def test_closing_the_port_ends_the_streams_properly() -> None:
    async with site_with() as site, site.listening() as reader:
        site.tracker.violate("r1")
        await reader.message()
        await site.running.close()
        assert await reader.response.content.read() == b""


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE"])
async def test_the_stream_can_only_be_read(method: str) -> None:
    async with site_with() as site, site.client.request(method, f"{site.url}/sla/events") as response:
        assert response.status == 405
