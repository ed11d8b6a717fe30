"""Where documents of machines, and pages about their GPUs, come from: a file or URL, node agents, DCGM exporters."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta

from turnout.framework import Endpoint, Finding, GaugeReading, Reading, WallClock
from turnout.plugins.feeds.feed import Feed
from turnout.plugins.feeds.source import FeedSource
from turnout.plugins.topology.dcgm import DcgmPage, parse_dcgm
from turnout.plugins.topology.keys import GpuState, Hardware
from turnout.plugins.topology.machine_documents import NO_MACHINES, MachineReading, read_machine, read_machines
from turnout.plugins.topology.per_host import HostFeeds, HostPages
from turnout.plugins.topology.sites import Described
from turnout.plugins.topology.structure import gpus_of, state_of


class MachineSources:
    """What is read of the machines of a pool. ``changed`` hears of which endpoints something may be known anew.

    Raises:
        ValueError: ``documents`` is a file that cannot be read.
    """

    def __init__(
        self,
        clock: WallClock,
        max_age: timedelta,
        documents: FeedSource | None,
        agents: HostPages | None,
        dcgm: HostPages | None,
        changed: Callable[[Sequence[str]], None],
    ) -> None:
        self._changed = changed
        self._clock = clock
        self._listed = NO_MACHINES
        self._documents = None if documents is None else Feed(documents, self._read_listing, clock)
        self._listed = self._machines()
        self._max_age = max_age.total_seconds()
        self._agents = None if agents is None else HostFeeds(agents, read_machine, clock, max_age, changed)
        self._dcgm = None if dcgm is None else HostFeeds(dcgm, _page, clock, max_age, changed)
        self._on_host: dict[str, list[str]] = {}
        # By endpoint: a state, and of what it was made.
        self._states: dict[str, tuple[object, Hardware, GpuState | None]] = {}

    def follow(self, hosts: Iterable[tuple[Endpoint, str]]) -> None:
        """From now on these endpoints, on hosts with these names, are all there are."""
        listed = tuple(hosts)
        for feeds in (self._agents, self._dcgm):
            if feeds is not None:
                feeds.follow(listed)
        self._on_host = {}
        for endpoint, host in listed:
            self._on_host.setdefault(host, []).append(endpoint.name)
        self._states.clear()

    def described(self, name: str, host: str) -> tuple[Described | None, Sequence[str]]:
        """The machine of an endpoint on this host, and what is wrong with what its agent says."""
        agent = None if self._agents is None else self._agents.value(name)
        if agent is not None and host and agent.machine.node != host:
            problem = f"the agent of {host} says that it is {agent.machine.node!r}; its document is not used"
            return _description(self._machines().get(host)), (problem,)
        return _description(agent or self._machines().get(host)), ()

    def page(self, name: str) -> DcgmPage | None:
        """What the DCGM exporter of the endpoint's host said, however old."""
        return None if self._dcgm is None else self._dcgm.value(name)

    def state(self, name: str, hardware: Hardware, now: float) -> GpuState | None:
        """How the GPUs of an endpoint are, by the agent, the file, or the DCGM exporter; None if all are too old."""
        source: MachineReading | DcgmPage | None = self._fresh_reading(name, hardware.place.host, now)
        if source is None and self._dcgm is not None:
            source = self._dcgm.fresh(name, now)
        if source is None:
            return None
        known = self._states.get(name)
        if known is None or known[0] is not source or known[1] is not hardware:
            known = self._states[name] = (source, hardware, _state(name, hardware, source))
        return known[2]

    def findings(self, now: float) -> Iterable[Finding]:
        """What is wrong with the sources."""
        if self._documents is not None:
            yield from self._documents.findings(now)
        for feeds in (self._agents, self._dcgm):
            if feeds is not None:
                yield from feeds.findings(now)

    def readings(self, now: float) -> Iterable[Reading]:
        """How many hosts answer."""
        if self._documents is not None:
            yield from self._documents.readings("topology")
        text = "Hosts by what is known of their pages."
        for source, feeds in (("agent", self._agents), ("dcgm", self._dcgm)):
            for state, count in ({} if feeds is None else feeds.counts(now)).items():
                yield GaugeReading("topology_hosts", text, count, {"source": source, "state": state})

    async def run(self) -> None:
        """Follows all of them, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            if self._documents is not None:
                tasks.create_task(self._documents.run(self._listing_looked_at))
            for feeds in (self._agents, self._dcgm):
                if feeds is not None:
                    tasks.create_task(feeds.run())

    # --- inside ------------------------------------------------------------------------------------------

    def _read_listing(self, content: bytes) -> Mapping[str, MachineReading]:
        return read_machines(content, self._listed)

    def _machines(self) -> Mapping[str, MachineReading]:
        listed = None if self._documents is None else self._documents.value
        return NO_MACHINES if listed is None else listed

    def _listing_looked_at(self) -> None:
        before, now = self._listed, self._machines()
        if now is before:
            return
        self._listed = now
        changed = [
            node
            for node in before.keys() | now.keys()
            if _description(before.get(node)) is not _description(now.get(node))
        ]
        self._changed([name for node in changed for name in self._on_host.get(node, ())])

    def _fresh_reading(self, name: str, host: str, now: float) -> MachineReading | None:
        agent = None if self._agents is None else self._agents.fresh(name, now)
        if agent is not None and agent.machine.node == host and self._is_young(agent, now):
            return agent
        age = None if self._documents is None else self._documents.age(now)
        listed = self._machines().get(host) if age is not None and age <= self._max_age else None
        return listed if listed is not None and self._is_young(listed, now) else None

    def _is_young(self, reading: MachineReading, now: float) -> bool:
        """Whether the machine was read lately, by its own word: a file may be new, and what is in it old."""
        return reading.read_at is None or self._clock.unix(now) - reading.read_at <= self._max_age


def _description(reading: MachineReading | None) -> Described | None:
    return None if reading is None else reading.described


def _state(name: str, hardware: Hardware, source: MachineReading | DcgmPage) -> GpuState | None:
    if isinstance(source, DcgmPage):
        return source.state(name, hardware.gpus, hardware.mig_profiles)
    gpus = gpus_of(source.machine, hardware.gpus)
    return state_of(gpus, hardware.mig_profiles, certain=bool(hardware.gpus))


def _page(content: bytes, _: DcgmPage | None) -> DcgmPage:
    return parse_dcgm(content)
