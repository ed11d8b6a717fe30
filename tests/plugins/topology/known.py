"""A topology that a test states, in place of one that was read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from turnout.plugins.topology.keys import GpuState, Hardware, Route, Routes, Topology


@dataclass(frozen=True)
class KnownTopology:
    """Ways are stated once and hold both ways; ages are not kept."""

    hardware_of: Mapping[str, Hardware] = field(default_factory=dict)
    state_of: Mapping[str, GpuState] = field(default_factory=dict)
    ways: Mapping[tuple[str, str], Route] = field(default_factory=dict)

    def hardware(self, endpoint_name: str) -> Hardware | None:
        return self.hardware_of.get(endpoint_name)

    def state(self, endpoint_name: str, now: float) -> GpuState | None:
        return self.state_of.get(endpoint_name)

    def routes(self, endpoint_name: str) -> Routes:
        return lambda other: self.ways.get((endpoint_name, other)) or self.ways.get((other, endpoint_name))


as_topology: Callable[[], Topology] = KnownTopology
