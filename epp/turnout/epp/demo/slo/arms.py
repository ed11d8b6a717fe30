"""The runs of the scenario: a fresh gateway for each, and the same requests at the same times."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from turnout.config import shipped_profiles
from turnout.epp.demo.gateways import started_gateway
from turnout.epp.demo.servers import TokenCounts, read_tokens
from turnout.epp.demo.slo.servers import SERVERS, capacity, server_arguments
from turnout.epp.demo.slo.workload import Arrival, arrivals, requests
from turnout.epp.demo.timed.answers import Answers
from turnout.epp.demo.timed.client import send_all
from turnout.epp.lifecycle import settle_memory

HEAVY, LIGHT = 0.9, 0.6
"""Which shares of the capacity are asked for: near the limit for targets, with room for a choice by price."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a run is sent: a ``share`` of the capacity, which is in requests per second."""

    seed: int
    capacity: float
    share: float
    requests: Sequence[Arrival]

    @property
    def rate(self) -> float:
        """The mean rate of arrivals, per second."""
        return self.share * self.capacity


@dataclass(frozen=True, slots=True)
class Arm:
    """A run: the shipped profile that chooses, none for Envoy's own least request, and the load."""

    profile: str
    share: float = HEAVY


ARMS: Mapping[str, Arm] = MappingProxyType(
    {
        "least-request": Arm(""),
        "default": Arm("default.yaml"),
        "slo-first": Arm("slo-first.yaml"),
        "slo-first, 60%": Arm("slo-first.yaml", LIGHT),
        "cost-first, 60%": Arm("cost-first.yaml", LIGHT),
    }
)
"""The runs by their names, in their order."""


@dataclass(frozen=True, slots=True)
class ArmOutcome:
    """What became of the requests, and the tokens that each server computed, in the order of ``SERVERS``."""

    seen: Answers[Arrival]
    tokens: Sequence[TokenCounts]


def make_load(seed: int, duration: float, share: float = HEAVY) -> Load:
    """The requests of ``duration`` seconds at a share of the capacity for requests like these."""
    served = capacity(requests(seed))
    return Load(seed, served, share, arrivals(seed, share * served, duration))


def profile(arm: str) -> str:
    """The configuration of a run that has one."""
    return shipped_profiles().joinpath(ARMS[arm].profile).read_text(encoding="utf-8")


async def run_arm(arm: str, load: Load, on_answer: Callable[[], None]) -> ArmOutcome:
    """Sends the requests through Envoy, and an Endpoint Picker if the run has one, to fresh servers.

    Raises:
        ChildError: a server or the gateway did not start.
    """
    with tempfile.TemporaryDirectory(prefix="turnout-") as folder:
        arguments = ["--least-request"]
        if ARMS[arm].profile:
            file = Path(folder) / "profile.yaml"
            file.write_text(profile(arm), encoding="utf-8")
            arguments = ["--config-file", str(file)]
        labels = [kind.labels for kind in SERVERS]
        async with started_gateway(server_arguments(load.seed), arguments, labels) as gateway:
            # A pause of this process's garbage collector would count as the gateway's.
            settle_memory()
            seen = await send_all(gateway.url, load.requests, load.seed, on_answer)
            return ArmOutcome(seen, await read_tokens(gateway.server_urls))
