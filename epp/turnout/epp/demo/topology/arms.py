"""The runs of the scenario: a fresh gateway for each, and the same requests at the same times."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from turnout.config import shipped_profiles
from turnout.epp.demo.gateways import started_gateway
from turnout.epp.demo.timed.answers import Answers
from turnout.epp.demo.timed.capacity import engine_rate
from turnout.epp.demo.timed.client import send_all
from turnout.epp.demo.topology.machines import POOL, documents
from turnout.epp.demo.topology.transfers import Transfers, read_transfers, tell_links
from turnout.epp.demo.topology.workload import Arrival, arrivals, requests
from turnout.epp.lifecycle import settle_memory

PROFILE = "disaggregated.yaml"

SHARE = 0.5
"""Which share of what the prefilling servers can compute without caches is asked for."""

TIME_SCALE = 6.0
"""Wall-clock seconds per second of an H100, so that one machine can simulate 16 of them, Envoy and the picker."""

PROCESSES = 2
SLOTS = 64

_KNOWS_TOPOLOGY = frozenset({"gpu-topology-scorer", "topology-producer"})


@dataclass(frozen=True, slots=True)
class Load:
    """What each run is sent: a ``share`` of the capacity, which is in requests per second."""

    seed: int
    capacity: float
    requests: Sequence[Arrival]

    @property
    def rate(self) -> float:
        """The mean rate of arrivals, per second."""
        return SHARE * self.capacity


@dataclass(frozen=True, slots=True)
class ArmOutcome:
    """What became of the requests, and how KV cache came to where they were decoded."""

    seen: Answers[Arrival]
    transfers: Transfers


def aware(folder: Path) -> str:
    """The shipped profile, with the documents of the machines in a file in ``folder``."""
    file = folder / "topology.jsonl"
    file.write_bytes(documents())
    document = _shipped()
    for plugin in document["plugins"]:
        if plugin["type"] == "topology-producer":
            plugin["parameters"] = {**plugin.get("parameters", {}), "documents": {"file": str(file)}}
    return yaml.safe_dump(document, sort_keys=False)


def blind(_: Path) -> str:
    """The same without what knows the topology: load and prefix caches decide."""
    document = _shipped()
    document["plugins"] = [plugin for plugin in document["plugins"] if plugin["type"] not in _KNOWS_TOPOLOGY]
    for profile in document["schedulingProfiles"]:
        profile["plugins"] = [entry for entry in profile["plugins"] if entry["pluginRef"] not in _KNOWS_TOPOLOGY]
    return yaml.safe_dump(document, sort_keys=False)


def at_random(_: Path) -> str:
    """Any endpoint of the role, whatever is known of it."""
    kinds = ("prefill-filter", "decode-filter", "random-picker")
    profiles = [
        {"name": role, "plugins": [{"pluginRef": f"{role}-filter"}, {"pluginRef": "random-picker"}]}
        for role in ("prefill", "decode")
    ]
    document = {
        "apiVersion": "turnout/v1",
        "kind": "EndpointPickerConfig",
        "plugins": [
            {"type": "disagg-profile-handler", "parameters": {"stageOrder": "prefill-first"}},
            *({"type": kind} for kind in kinds),
        ],
        "schedulingProfiles": profiles,
    }
    return yaml.safe_dump(document, sort_keys=False)


BLIND, AWARE = "topology-blind", "topology-aware"

ARMS: Mapping[str, Callable[[Path], str]] = MappingProxyType({"random": at_random, BLIND: blind, AWARE: aware})
"""The runs by their names, in their order, and the configuration of each."""


def _shipped() -> dict[str, Any]:
    """The shipped profile, told how slow the servers are, as it asks to be."""
    text = shipped_profiles().joinpath(PROFILE).read_text(encoding="utf-8")
    document: dict[str, Any] = yaml.safe_load(text)
    for plugin in document["plugins"]:
        if "peakPrefillThroughput" in plugin.get("parameters", {}):
            plugin["parameters"]["peakPrefillThroughput"] /= TIME_SCALE
    return document


def make_load(seed: int, duration: float) -> Load:
    """The requests of ``duration`` seconds at half of the capacity for prompts like these."""
    served = capacity(seed)
    return Load(seed, served, arrivals(seed, SHARE * served, duration))


def capacity(seed: int) -> float:
    """Prompts of this mix per second that the prefilling servers compute together when none of them is cached."""
    prefilling = sum(seat.role == "prefill" for seat in POOL)
    prompts = (replace(request, answer_tokens=1) for request in requests(seed))
    return prefilling * engine_rate(prompts, SLOTS) / TIME_SCALE


def server_arguments(seed: int) -> Sequence[Sequence[str]]:
    """What each `turnout sim-server` is told; each runs the servers of half of the machines."""
    each = len(POOL) // PROCESSES
    return [
        (
            *("--servers", str(each), "--seed", str(seed + process * each)),
            *("--max-num-seqs", str(SLOTS), "--time-scale", str(TIME_SCALE)),
        )
        for process in range(PROCESSES)
    ]


async def run_arm(arm: str, load: Load, on_answer: Callable[[], None]) -> ArmOutcome:
    """Sends the requests through Envoy and an Endpoint Picker to fresh servers.

    Raises:
        ChildError: a server or the gateway did not start.
    """
    with tempfile.TemporaryDirectory(prefix="turnout-") as folder:
        file = Path(folder) / "profile.yaml"
        file.write_text(ARMS[arm](Path(folder)), encoding="utf-8")
        labels = [seat.labels for seat in POOL]
        arguments = ["--config-file", str(file)]
        async with started_gateway(server_arguments(load.seed), arguments, labels) as gateway:
            await tell_links(gateway.server_urls)
            # A pause of this process's garbage collector would count as the gateway's.
            settle_memory()
            seen = await send_all(gateway.url, load.requests, load.seed, on_answer)
            return ArmOutcome(seen, await read_transfers(gateway.server_urls))
