"""Publishes where endpoints are, what GPUs they have, and how fast data goes from one to another."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from types import MappingProxyType

from turnout.framework import (
    CycleState,
    Diagnosis,
    Endpoint,
    Figure,
    Finding,
    GaugeReading,
    InferenceRequest,
    PluginName,
    Reading,
    WallClock,
)
from turnout.plugins.feeds.source import FeedSource
from turnout.plugins.topology.dcgm import DcgmPage
from turnout.plugins.topology.distances import Distances
from turnout.plugins.topology.hardware_labels import HardwareLabels, Stated
from turnout.plugins.topology.keys import DEFAULT_PRODUCER, TOPOLOGY, GpuState, Hardware, Place, Routes
from turnout.plugins.topology.machine_sources import MachineSources
from turnout.plugins.topology.network import DEFAULT_NETWORK, Network
from turnout.plugins.topology.per_host import HostPages
from turnout.plugins.topology.places import PLACE_LABELS, PlaceLabels
from turnout.plugins.topology.sites import Described, site_of

DEFAULT_NAME = PluginName(DEFAULT_PRODUCER)
DEFAULT_PLACES = PlaceLabels()
DEFAULT_LABELS = HardwareLabels()
DEFAULT_MAX_AGE = timedelta(minutes=1)

MAX_SHOWN = 1_000
"""Endpoints whose figures are on the metrics page."""


@dataclass(frozen=True, slots=True)
class _Member:
    """An endpoint of the pool, what its labels say, what is wrong with that, and by what it was placed."""

    endpoint: Endpoint
    place: Place
    stated: Stated
    problems: Sequence[str] = ()
    placed: tuple[Described | None, Stated, Sequence[str]] | None = None


class TopologyProducer:
    """Publishes the pool's topology, of all that is known: labels, documents of machines, pages of DCGM exporters.

    Labels say where an endpoint is (``places``) and which GPUs it has (``labels``). Documents, as ``turnout topology``
    writes them, say how GPUs reach each other: ``documents`` is a file or URL with one document on each line, and
    ``agents`` are the node agents, one on each host. ``dcgm`` are DCGM exporters, which say how GPUs are, and in
    Kubernetes which endpoint has which. What nobody measured is assumed (``network``). How GPUs are is known for
    ``max_age`` after it was read; how they are connected holds until a reading says otherwise.

    Raises:
        ValueError: ``documents`` is a file that cannot be read, or ``max_age`` is not above 0.
    """

    def __init__(
        self,
        clock: WallClock,
        documents: FeedSource | None = None,
        agents: HostPages | None = None,
        dcgm: HostPages | None = None,
        places: PlaceLabels = DEFAULT_PLACES,
        labels: HardwareLabels = DEFAULT_LABELS,
        network: Network = DEFAULT_NETWORK,
        max_age: timedelta = DEFAULT_MAX_AGE,
        name: PluginName = DEFAULT_NAME,
    ) -> None:
        if max_age <= timedelta(0):
            raise ValueError(f"max_age must be above 0, got {max_age.total_seconds():g} s")
        self._places = places
        self._labels = labels
        self._distances = Distances(network)
        self._members: dict[str, _Member] = {}
        self._watches = False
        self._now = 0.0
        self._sources = MachineSources(clock, max_age, documents, agents, dcgm, self._place_again)
        self._key = TOPOLOGY.of(name)
        self._places_key = PLACE_LABELS.of(name)
        self.writes = (self._key, self._places_key)

    # --- Topology ----------------------------------------------------------------------------------------

    def hardware(self, endpoint_name: str) -> Hardware | None:
        """What the endpoint runs on."""
        site = self._distances.site(endpoint_name)
        return None if site is None else site.hardware

    def state(self, endpoint_name: str, now: float) -> GpuState | None:
        """How its GPUs are."""
        hardware = self.hardware(endpoint_name)
        return None if hardware is None else self._sources.state(endpoint_name, hardware, now)

    def routes(self, endpoint_name: str) -> Routes:
        """The ways from the endpoint."""
        return self._distances.routes(endpoint_name)

    # --- extension points --------------------------------------------------------------------------------

    async def produce(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> None:
        """Publishes the topology, and which labels say where endpoints are."""
        self._now = state.now
        if not self._watches:
            # Nobody tells of changes of the pool: a scheduler without an Endpoint Picker around it.
            self._take(endpoints)
        state.write(self._key, self)
        state.write(self._places_key, self._places)

    def endpoints_changed(self, endpoints: Sequence[Endpoint]) -> None:
        """Follows the hosts of the pool."""
        self._watches = True
        self._take(endpoints)

    async def run(self) -> None:
        """Follows documents and hosts."""
        await self._sources.run()

    def diagnose(self, endpoints: Sequence[Endpoint], now: float) -> Diagnosis:
        """What is known of each endpoint, and what is wrong with labels and documents."""
        self._now = now
        findings = [*self._sources.findings(now)]
        figures: dict[str, Mapping[str, Figure]] = {}
        for endpoint in endpoints:
            member, hardware = self._members.get(endpoint.name), self.hardware(endpoint.name)
            findings += self._findings(endpoint.name, member, hardware)
            if hardware is not None:
                figures[endpoint.name] = self._figures(endpoint.name, hardware, now)
        return Diagnosis(findings, figures)

    def readings(self) -> Iterable[Reading]:
        """Utilization and memory of each endpoint as of the last request or diagnosis, and how much is known."""
        busy = "Share of time in which the GPUs of an endpoint computed, by its name."
        free = "Free memory of the GPUs of an endpoint in bytes, by its name."
        for name in list(self._members)[:MAX_SHOWN]:
            state = self.state(name, self._now)
            if state is not None and state.utilization is not None:
                yield GaugeReading("gpu_utilization", busy, state.utilization, {"name": name})
            if state is not None and state.memory_free is not None:
                yield GaugeReading("gpu_memory_free_bytes", free, state.memory_free, {"name": name})
        known = sum(self._distances.site(name) is not None for name in self._members)
        text = "Endpoints of the pool by whether anything is known of where they run."
        yield GaugeReading("topology_endpoints", text, known, {"topology": "known"})
        yield GaugeReading("topology_endpoints", text, len(self._members) - known, {"topology": "unknown"})
        yield from self._sources.readings(self._now)

    # --- inside ------------------------------------------------------------------------------------------

    def _take(self, endpoints: Sequence[Endpoint]) -> None:
        members = {endpoint.name: self._member(endpoint) for endpoint in endpoints}
        changed = [name for name, member in members.items() if self._members.get(name) is not member]
        gone = self._members.keys() - members.keys()
        if not changed and not gone:
            return
        self._members = members
        for name in gone:
            self._distances.place(name, None)
        self._sources.follow((member.endpoint, member.place.host) for member in members.values())
        self._place_again(changed)

    def _member(self, endpoint: Endpoint) -> _Member:
        before = self._members.get(endpoint.name)
        if (
            before is not None
            and before.endpoint.labels == endpoint.labels
            and before.endpoint.address == endpoint.address
        ):
            return before
        return _Member(endpoint, self._places.place(endpoint.labels), self._labels.read(endpoint.labels))

    def _place_again(self, names: Sequence[str]) -> None:
        """Works out the sites of these endpoints anew."""
        for name in names:
            member = self._members.get(name)
            if member is None:
                continue
            stated = _with_owned(member.stated, name, self._sources.page(name))
            found, lies = self._sources.described(name, member.place.host)
            if member.placed == (found, stated, lies):
                continue
            site, problems = site_of(member.place, stated, found)
            self._distances.place(name, site)
            self._members[name] = replace(member, problems=(*problems, *lies), placed=(found, stated, lies))

    def _findings(self, name: str, member: _Member | None, hardware: Hardware | None) -> Iterable[Finding]:
        for problem in member.problems if member is not None else ():
            yield Finding("contradictory-topology", problem, name)
        state = None if hardware is None else self.state(name, self._now)
        if state is not None and state.lost:
            yield Finding("lost-gpu", "has a GPU that fell off the bus, or needs a reset", name)
        if hardware is None:
            yield Finding("no-topology", "has no label that says where it runs; see topology-producer", name)
        elif hardware.mig_profiles and not hardware.gpus:
            yield Finding("unknown-slice", "runs on slices, and no label says of which GPU", name)

    def _figures(self, name: str, hardware: Hardware, now: float) -> Mapping[str, Figure]:
        state = self.state(name, now) or GpuState()
        return MappingProxyType(
            {
                "host": hardware.place.host,
                "gpu_type": hardware.gpu_type,
                "gpus": ",".join(map(str, hardware.gpus)),
                "group_bytes_per_second": hardware.group_bytes_per_second,
                "memory_free_bytes": state.memory_free,
                "utilization": state.utilization,
            }
        )


def _with_owned(stated: Stated, name: str, page: DcgmPage | None) -> Stated:
    """The labels, with the GPUs that a DCGM exporter says are the endpoint's where no label says it."""
    if page is None or stated.gpus:
        return stated
    profiles = stated.mig_profiles or page.profiles_of(name)
    return replace(stated, gpus=page.indices_of(name), mig_profiles=profiles)
