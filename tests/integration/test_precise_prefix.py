"""Prefix matches from KV events behind a real Envoy: servers that tell, restart, say nothing, or talk rubbish."""

import itertools
import os
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from epp.gateway.fakes import free_port
from integration.bad_publishers import LARGEST, BadPublisher, bad_publisher, junk
from integration.gateways import Gateway, Mode, until
from integration.picker_process import PickerProcess, separate_picker
from turnout.epp.gateway.options import Address
from turnout.epp.simulator.options import SimServerOptions
from turnout.epp.simulator.server import RunningSimServer, start_sim_server

pytestmark = pytest.mark.integration

PROFILE = Path(__file__).parents[2] / "config" / "profiles" / "precise-prefix.yaml"
PRODUCER = "precise-prefix-cache-producer"
MIB = 1024 * 1024

Figures = Mapping[str, object]


def count(figures: Figures, name: str) -> int:
    value = figures.get(name, 0)
    assert isinstance(value, int)
    return value


class Replica:
    """A simulated server with KV events, on ports that outlive it."""

    def __init__(self) -> None:
        self._options = SimServerOptions(
            port=free_port(), time_scale=0.01, kv_events_port=free_port(), kv_replay_port=free_port()
        )
        self._server: RunningSimServer | None = None

    async def start(self) -> None:
        self._server = await start_sim_server(self._options)

    async def stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            await server.close()

    @property
    def address(self) -> Address:
        return Address("127.0.0.1", self._options.port)

    def listing(self, events: int | None = None, replay: int | None = None) -> list[str]:
        """As the picker is told; other ports than the right ones may be given."""
        labels = (
            f"turnout/kv-events-port={events or self._options.kv_events_port}",
            f"turnout/kv-replay-port={replay or self._options.kv_replay_port}",
        )
        return ["--endpoint", ",".join((f"http://{self.address}", *labels))]


@asynccontextmanager
async def replicas(count: int) -> AsyncIterator[list[Replica]]:
    started = [Replica() for _ in range(count)]
    async with AsyncExitStack() as stack:
        for replica in started:
            await replica.start()
            stack.push_async_callback(replica.stop)
        yield started


@dataclass(frozen=True)
class Agreement:
    """Requests whose engine told its cached tokens, those that were as predicted, and tokens."""

    compared: int
    agreeing: int
    predicted: int
    reported: int


@dataclass
class Precise:
    """A picker with the shipped profile, and what it says of itself."""

    gateway: Gateway
    process: PickerProcess
    log: Path

    async def diagnosis(self) -> Mapping[str, object]:
        plugins = (await self.gateway.pages.get("/diagnosis"))["plugins"]
        assert isinstance(plugins, dict)
        answer = plugins[PRODUCER]
        assert isinstance(answer, dict)
        return answer

    async def figures(self, replica: Replica) -> Figures:
        """Of one endpoint; empty before anything is known of it."""
        names = {str(known["address"]): str(known["name"]) for known in await self.gateway.pages.endpoints()}
        of_all = (await self.diagnosis())["endpoints"]
        assert isinstance(of_all, dict)
        figures = of_all.get(names[str(replica.address)], {})
        assert isinstance(figures, dict)
        return figures

    async def blocks(self, replica: Replica) -> int:
        """Announced and held by one endpoint."""
        return count(await self.figures(replica), "blocks")

    async def becomes(self, replica: Replica, name: str, *values: object) -> Figures:
        """The figures as soon as one of them has one of the values."""
        figures: Figures = {}

        async def changed() -> bool:
            nonlocal figures
            figures = await self.figures(replica)
            return figures.get(name) in values

        await until(changed, f"{name} of {replica.address} one of {values}")
        return figures

    async def causes(self, replica: Replica) -> set[str]:
        """Of the findings about one endpoint."""
        names = {str(known["address"]): known["name"] for known in await self.gateway.pages.endpoints()}
        findings = (await self.diagnosis())["findings"]
        assert isinstance(findings, list)
        return {finding["cause"] for finding in findings if finding["endpoint"] == names[str(replica.address)]}

    async def agreement(self, pool: Sequence[Replica]) -> Agreement:
        """Over all requests that have ended, once all have."""
        await self.gateway.pages.settled()
        figures = [await self.figures(replica) for replica in pool]

        def total(name: str) -> int:
            return sum(count(each, f"total_{name}") for each in figures)

        return Agreement(
            total("compared_requests"),
            total("agreeing_requests"),
            total("predicted_cached_tokens"),
            total("reported_cached_tokens"),
        )

    async def warned(self, text: str) -> bool:
        """Whether there is a warning with the text in the log, and the metrics count an endpoint without events."""
        found = re.search(rf"^.*\bWARN(ING)?\b.*{re.escape(text)}", self.log.read_text(), re.MULTILINE)
        labels = f'{{cause="no-event-stream",plugin_name="{PRODUCER}",plugin_type="{PRODUCER}"}}'
        return found is not None and f"turnout_plugin_findings{labels} 1.0" in await self.gateway.pages.metrics()

    async def chats(self, conversations: int, turns: int, label: str = "") -> None:
        """Conversations that grow, one turn of each after the other; every second one begins like its like."""
        for turn in range(1, turns + 1):
            for number in range(conversations):
                beginning = "You are a helpful assistant. " * 20 if number % 2 else ""
                prompt = f"{beginning}{label} {number}: " + "and then? " * 100 * turn
                assert (await self.gateway.chat(prompt)).status == 200


@asynccontextmanager
async def precise(folder: Path, listing: Sequence[str]) -> AsyncIterator[Precise]:
    arguments = ["--config-file", str(PROFILE), *listing]
    async with separate_picker(Mode.FULL_DUPLEX, folder, arguments) as (gateway, process):
        yield Precise(gateway, process, folder / "picker.log")


async def test_predicted_tokens_are_the_reported_ones_and_a_restart_leaves_no_ghost(tmp_path: Path) -> None:
    async with (
        replicas(3) as pool,
        precise(tmp_path, [part for replica in pool for part in replica.listing()]) as running,
    ):
        for replica in pool:
            await running.becomes(replica, "stream", "live")
        await running.chats(8, 4)
        warm = await running.agreement(pool)
        assert (warm.compared, warm.agreeing, warm.predicted) == (32, 32, warm.reported)
        assert warm.reported > 24 * 100

        held = [await running.blocks(replica) for replica in pool]
        assert max(held) > 100
        restarted = pool[held.index(max(held))]
        await restarted.stop()
        await running.becomes(restarted, "stream", "connecting", "lost")
        # Without the access log nobody tells which endpoint answered a request that Envoy had to send twice.
        await running.gateway.pages.becomes(restarted.address, in_service=False)
        await running.chats(8, 1, "while it is away")

        await restarted.start()
        figures = await running.becomes(restarted, "stream", "live")
        await running.gateway.pages.becomes(restarted.address, in_service=True)
        assert (figures["blocks"], figures["history"]) == (0, "complete")
        conversations = itertools.count()

        async def announces_again() -> bool:
            await running.chats(1, 2, f"after it was away {next(conversations)}")
            return await running.blocks(restarted) > 0

        await until(announces_again, "blocks at the server that restarted")
        await running.chats(8, 4)
        after = await running.agreement(pool)
        assert after.compared > warm.compared + 32
        assert (after.agreeing, after.predicted) == (after.compared, after.reported)


async def test_servers_without_usable_events_are_matched_by_what_was_sent_and_named(tmp_path: Path) -> None:
    nowhere = free_port()
    async with (
        replicas(3) as (good, deaf, noisy),
        bad_publisher() as publisher,
        precise(
            tmp_path,
            [
                *good.listing(),
                *deaf.listing(events=nowhere),
                *noisy.listing(publisher.port, publisher.replay_port),
            ],
        ) as running,
    ):
        await running.becomes(good, "stream", "live")
        await running.chats(20, 2)
        figures = await running.figures(deaf)
        assert figures["blocks"] == 0
        assert count(figures, "predicted_cached_tokens") > 100

        before = running.process.peak_bytes
        await publish_rubbish(publisher, running, noisy)
        # A gigabyte was sent; at most 64 messages of 8 MiB wait to be read.
        assert running.process.peak_bytes - before < 768 * MIB
        await running.chats(8, 2, "still")

        assert await running.causes(good) == set()
        assert "no-event-stream" in await running.causes(deaf)
        assert "event-schema" in await running.causes(noisy)
        silent = f"no connection to tcp://127.0.0.1:{nowhere}"
        await until(lambda: running.warned(silent), "findings in the log and among the metrics", 20.0)


async def publish_rubbish(publisher: BadPublisher, running: Precise, noisy: Replica) -> None:
    for payload in (b"\xc1", os.urandom(1000), b"\x93" + os.urandom(100), b"", b"\xdd\xff\xff\xff\xff"):
        await publisher.subscribed()
        await publisher.send_batch(payload)
        await publisher.start()
    await publisher.subscribed()
    await running.becomes(noisy, "stream", "live")
    for frames in junk():
        await publisher.send(*frames)
    largest = os.urandom(LARGEST)
    for _ in range(128):
        await publisher.send_batch(largest)

    async def all_read() -> bool:
        return count(await running.figures(noisy), "undecodable") >= 128

    await until(all_read, "128 large messages read")
    await publisher.send_batch(largest + b"x")  # which ends the connection
    await publisher.subscribed()
