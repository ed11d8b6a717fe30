"""The runs of the scenario: a fresh gateway for each, and the same requests at the same times."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from turnout.epp.demo.gateways import started_gateway
from turnout.epp.demo.overload.engines import capacity, server_arguments
from turnout.epp.demo.overload.profiles import with_flow_control, without_flow_control
from turnout.epp.demo.overload.workload import CRITICAL, Arrival, arrivals, requests
from turnout.epp.demo.timed.answers import Answers
from turnout.epp.demo.timed.client import send_all
from turnout.epp.lifecycle import settle_memory

OVERLOAD = 1.5
"""How many times the capacity is asked for."""

ArmName = Literal["unloaded", "without", "with"]


@dataclass(frozen=True, slots=True)
class Load:
    """What the loaded runs are sent. Rates are in requests per second."""

    seed: int
    capacity: float
    requests: Sequence[Arrival]

    @property
    def rate(self) -> float:
        """The mean rate of arrivals."""
        return OVERLOAD * self.capacity

    def of(self, arm: ArmName) -> Sequence[Arrival]:
        """The requests of one run: without load the critical ones alone, at the same times."""
        if arm != "unloaded":
            return self.requests
        return [request for request in self.requests if request.level == CRITICAL]


ARMS: Mapping[ArmName, Callable[[], str]] = MappingProxyType(
    {"unloaded": with_flow_control, "without": without_flow_control, "with": with_flow_control}
)
"""The runs in their order, and the configuration of each."""


def make_load(seed: int, duration: float) -> Load:
    """The requests of ``duration`` seconds at 1.5 times the capacity for requests like these."""
    served = capacity(requests(seed))
    return Load(seed, served, arrivals(seed, OVERLOAD * served, duration))


async def run_arm(arm: ArmName, load: Load, on_answer: Callable[[], None]) -> Answers[Arrival]:
    """Sends a run's requests through Envoy and an Endpoint Picker to fresh servers.

    Raises:
        ChildError: a server or the gateway did not start.
    """
    with tempfile.TemporaryDirectory(prefix="turnout-") as folder:
        profile = Path(folder) / "profile.yaml"
        profile.write_text(ARMS[arm](), encoding="utf-8")
        async with started_gateway(server_arguments(load.seed), ("--config-file", str(profile))) as gateway:
            # A pause of this process's garbage collector would count as the gateway's.
            settle_memory()
            return await send_all(gateway.url, load.of(arm), load.seed, on_answer)
