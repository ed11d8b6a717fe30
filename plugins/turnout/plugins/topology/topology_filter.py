"""Keeps the endpoints whose hardware, and whose way to the peer, are what a profile asks for."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypeAlias

from turnout.framework import CycleState, Endpoint, InferenceRequest, Quantity, Reading, SchedulingResult
from turnout.plugins.disagg.keys import PEER_ENDPOINT
from turnout.plugins.topology.candidates import hardware_of, routes_to
from turnout.plugins.topology.keys import TOPOLOGY
from turnout.plugins.topology.rules import (
    MEETS,
    UNKNOWN,
    HardwareRule,
    Locality,
    RouteRule,
    Verdict,
    at_least_as_fast,
    at_least_gpus,
    at_least_memory,
    group_at_least_as_fast,
    group_on_nvlink,
    of_type,
    within,
)
from turnout.plugins.violations import Violations

Mode: TypeAlias = Literal["strict", "preferred"]
Unknown: TypeAlias = Literal["worst", "neutral", "excluded"]
Judged: TypeAlias = Mapping[str, Sequence[Verdict]]

NO_LIMIT = Quantity(0)

TIERS: Mapping[Unknown, Sequence[Verdict]] = {"worst": (MEETS, UNKNOWN), "neutral": (UNKNOWN,), "excluded": (MEETS,)}
"""The least verdict of those that are kept; the next one where the one before leaves nobody."""


class TopologyFilter:
    """Keeps the endpoints that meet the rules; a rule that is left at its default says nothing.

    Of the way to the peer, the endpoint that an earlier stage picked (of ``profile_handler_name``; empty means
    ``disagg-profile-handler``); without a peer they say nothing, and the peer itself meets them:

    - ``locality``: ``same-node``; ``same-socket``, GPUs attached to one socket; ``nvlink``, NVLink between the GPUs.
    - ``min_bandwidth``, in bytes per second.

    Of the endpoint itself:

    - ``min_group_bandwidth``, in bytes per second, between any two GPUs of its tensor-parallel group, and
      ``group_nvlink``, NVLink between any two of them; a single GPU meets both.
    - ``gpu_types``: one of these, as the whole name or as whole parts of it between dashes or spaces, in any case.
    - ``min_gpus``, and ``min_gpu_memory``, in bytes of each of them.

    A rule cannot be judged where nothing is known of the endpoint or of the peer, where a figure is missing, and,
    ``same-socket`` and ``nvlink``, between two endpoints of which only labels tell that they share a node.

    With ``mode: strict`` nobody is kept who is known to break a rule. With ``preferred`` the rules narrow the
    candidates one after the other, in the order above; a rule that would leave nobody is dropped for this request, and
    ``topology_violations_total`` counts it if the request is sent to one of those. What is kept, where

    - some candidates meet the rule and of others it is not known: ``unknown: worst`` and ``excluded`` keep those that
      meet it, ``neutral`` keeps both;
    - none meets it and of some it is not known: ``worst`` and ``neutral`` keep these; ``excluded`` keeps nobody with
      ``strict``, and drops the rule with ``preferred``;
    - all are known to break it: nobody with ``strict``; with ``preferred`` the rule is dropped.

    With ``strict`` all rules count as one, which an endpoint meets if it meets all of them.

    Raises:
        ValueError: ``min_gpus`` is negative, or a GPU type is empty.
    """

    def __init__(
        self,
        locality: Locality = "any",
        min_bandwidth: Quantity = NO_LIMIT,
        min_group_bandwidth: Quantity = NO_LIMIT,
        group_nvlink: bool = False,
        gpu_types: Sequence[str] = (),
        min_gpus: int = 0,
        min_gpu_memory: Quantity = NO_LIMIT,
        mode: Mode = "strict",
        unknown: Unknown = "worst",
        profile_handler_name: str = "",
        topology_producer_name: str = "",
    ) -> None:
        if min_gpus < 0:
            raise ValueError(f"min_gpus must be at least 0, got {min_gpus}")
        if not all(name.strip() for name in gpu_types):
            raise ValueError(f"gpu_types must have no empty name, got {list(gpu_types)}")
        of_route: dict[str, tuple[object, RouteRule]] = {
            "locality": (locality != "any", within(locality)),
            "bandwidth": (min_bandwidth, at_least_as_fast(min_bandwidth)),
        }
        of_hardware: dict[str, tuple[object, HardwareRule]] = {
            "group_bandwidth": (min_group_bandwidth, group_at_least_as_fast(min_group_bandwidth)),
            "group_nvlink": (group_nvlink, group_on_nvlink),
            "gpu_type": (gpu_types, of_type(gpu_types)),
            "gpu_count": (min_gpus, at_least_gpus(min_gpus)),
            "gpu_memory": (min_gpu_memory, at_least_memory(min_gpu_memory)),
        }
        self._of_route = {name: rule for name, (is_set, rule) in of_route.items() if is_set}
        self._of_hardware = {name: rule for name, (is_set, rule) in of_hardware.items() if is_set}
        self._tiers = TIERS[unknown]
        self._prefers = mode == "preferred"
        self._violations = Violations((*self._of_route, *self._of_hardware) if self._prefers else ())
        self._peer_key = PEER_ENDPOINT.of(profile_handler_name)
        self._topology_key = TOPOLOGY.of(topology_producer_name)
        self.reads = (self._topology_key,)

    def filter(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        judged = self._judged(state, endpoints)
        if not judged:
            return endpoints
        if self._prefers:
            return self._preferred(state, endpoints, judged)
        columns = list(judged.values())
        verdicts = columns[0] if len(columns) == 1 else [min(each) for each in zip(*columns, strict=True)]
        return [endpoints[position] for position in self._left(range(len(endpoints)), verdicts)]

    def _preferred(self, state: CycleState, endpoints: Sequence[Endpoint], judged: Judged) -> Sequence[Endpoint]:
        positions: Sequence[int] = range(len(endpoints))
        dropped = []
        for rule, verdicts in judged.items():
            left = self._left(positions, verdicts)
            if left:
                positions = left
            else:
                dropped.append(rule)
        kept = [endpoints[position] for position in positions]
        self._violations.dropped(state, dropped, kept)
        return kept

    def _left(self, positions: Sequence[int], verdicts: Sequence[Verdict]) -> Sequence[int]:
        for least in self._tiers:
            found = [position for position in positions if verdicts[position] >= least]
            if found:
                return found
        return ()

    def _judged(self, state: CycleState, endpoints: Sequence[Endpoint]) -> Judged:
        """What each rule that has something to say says of each endpoint, by the rule's name."""
        topology, judged = state.get(self._topology_key), dict[str, Sequence[Verdict]]()
        peer = state.get(self._peer_key) if self._of_route else None
        if peer is not None:
            routes = routes_to(peer, topology, endpoints)
            for name, of_route in self._of_route.items():
                judged[name] = [UNKNOWN if route is None else of_route(route) for route in routes]
        if self._of_hardware:
            known = hardware_of(topology, endpoints)
            for name, of_hardware in self._of_hardware.items():
                judged[name] = [UNKNOWN if hardware is None else of_hardware(hardware) for hardware in known]
        return judged

    def pre_request(self, request: InferenceRequest, state: CycleState, result: SchedulingResult) -> None:
        """Counts the preferred rules that the request goes without."""
        self._violations.dispatched(state, result)

    def readings(self) -> Iterable[Reading]:
        """Preferred rules that were not met; none with ``mode: strict``."""
        return self._violations.readings()
