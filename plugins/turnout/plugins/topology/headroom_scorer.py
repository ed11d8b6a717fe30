"""Prefers endpoints whose GPUs have room, or fills up those that still have."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from typing import Literal, TypeAlias

from turnout.framework import CycleState, Endpoint, InferenceRequest, Quantity, Scores
from turnout.plugins.mig.keys import slice_bytes
from turnout.plugins.topology.candidates import hardware_of
from turnout.plugins.topology.keys import TOPOLOGY, GpuState, Topology
from turnout.plugins.topology.parts import Part, Unknown, check_weights, weighted

Strategy: TypeAlias = Literal["spread", "pack"]

NO_LIMIT = Quantity(0)

MAX_SIZES = 256
"""Combinations of slices and memory that are remembered; a pool has a handful."""

LEAST_WITH_ROOM = 0.25
"""What ``pack`` gives an empty endpoint for its load, so that it stays above one without room."""


@dataclass(frozen=True, slots=True)
class HeadroomWeights:
    """How much of the score each part is; they need not add up to 1."""

    memory: float = 0.4
    idle: float = 0.4
    slice_fit: float = 0.2

    def __post_init__(self) -> None:
        check_weights(asdict(self))


@dataclass(frozen=True, slots=True)
class ThrottlePenalties:
    """What a score is multiplied by for what slows a GPU: 1 is no penalty, 0 takes everything."""

    power: float = 0.7
    thermal: float = 0.4
    hardware: float = 0.2

    def __post_init__(self) -> None:
        for name, factor in asdict(self).items():
            if not 0.0 <= factor <= 1.0:
                raise ValueError(f"{name} must be within [0, 1], got {factor}")


DEFAULT_WEIGHTS = HeadroomWeights()
DEFAULT_PENALTIES = ThrottlePenalties()


class GpuHeadroomScorer:
    """Scores how much room the GPUs of an endpoint have, as they were when they were last looked at.

    The score is the weighted mean of its parts:

    - ``memory``: with ``strategy: spread`` the free share of the memory of its GPUs. With ``pack`` the fullest is best:
      1 where nothing is free, 0.25 where everything is.
    - ``idle``: the same of the share of time in which they do not compute.
    - ``slice_fit``: ``min_memory`` by the memory of the smallest of its MIG slices, or else of its GPUs, that has as
      much; 0 if none has. So what needs little goes to small slices, and large ones stay free. A slice has the
      gigabytes (of 10^9 bytes) in the name of its profile. Without ``min_memory`` it is no part of the score.

    An endpoint with less than ``min_free_memory``, or with a GPU that fell off the bus, scores 0. What throttles a GPU
    multiplies the score by its factor in ``throttled``; several multiply each other.

    What is not known of an endpoint is 0 with ``unknown: worst``, and with ``neutral`` the mean of the other
    candidates; free memory that is not known is too little with ``worst`` and enough with ``neutral``. Throttling that
    is not known is none.

    Engines that take all memory at their start, as vLLM does, leave the same share free whatever they do: there
    ``memory`` tells something only where several processes share a GPU.

    Raises:
        ValueError: a weight is negative or all are 0, or a factor is not within [0, 1].
    """

    def __init__(
        self,
        strategy: Strategy = "spread",
        weights: HeadroomWeights = DEFAULT_WEIGHTS,
        min_memory: Quantity = NO_LIMIT,
        min_free_memory: Quantity = NO_LIMIT,
        throttled: ThrottlePenalties = DEFAULT_PENALTIES,
        unknown: Unknown = "neutral",
        topology_producer_name: str = "",
    ) -> None:
        self._fit = lru_cache(maxsize=MAX_SIZES)(partial(_fit, min_memory))
        self._packs = strategy == "pack"
        self._weights = weights
        self._min_memory, self._min_free = min_memory, min_free_memory
        self._penalties = asdict(throttled)
        self._unknown = unknown
        self._topology_key = TOPOLOGY.of(topology_producer_name)
        self.reads = (self._topology_key,)

    def score(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Scores:
        topology = state.get(self._topology_key)
        states = _states(topology, endpoints, state.now)
        parts = [*self._of_load(states), *self._of_fit(topology, endpoints)]
        scores = weighted(parts, self._unknown, len(endpoints))
        return [self._held_back(score, known) for score, known in zip(scores, states, strict=True)]

    def _of_load(self, states: Sequence[GpuState | None]) -> Iterable[Part]:
        for weight, free in ((self._weights.memory, _free_share), (self._weights.idle, _idle_share)):
            if weight:
                shares = [None if known is None else free(known) for known in states]
                yield weight, [_fullness(share) for share in shares] if self._packs else shares

    def _of_fit(self, topology: Topology | None, endpoints: Sequence[Endpoint]) -> Iterable[Part]:
        if self._weights.slice_fit and self._min_memory:
            known, fit = hardware_of(topology, endpoints), self._fit
            yield (
                self._weights.slice_fit,
                [None if each is None else fit(each.mig_profiles, each.gpu_memory) for each in known],
            )

    def _held_back(self, score: float, known: GpuState | None) -> float:
        if known is None:
            return 0.0 if self._min_free and self._unknown == "worst" else score
        if known.lost or not self._has_room(known.memory_free):
            return 0.0
        if known.throttled:
            for reason in known.throttled:
                score *= self._penalties.get(reason, 1.0)
        return score

    def _has_room(self, free: int | None) -> bool:
        if free is None:
            return not self._min_free or self._unknown == "neutral"
        return free >= self._min_free


def _fit(wanted: int, mig_profiles: Sequence[str], gpu_memory: int | None) -> float | None:
    """How much is wanted of the smallest that has as much: a slice, or where no slice is known a GPU."""
    slices = [size for name in mig_profiles if (size := slice_bytes(name)) is not None]
    sizes = slices or ([] if gpu_memory is None else [gpu_memory])
    if not sizes:
        return None
    smallest = min((size for size in sizes if size >= wanted), default=0)
    return wanted / smallest if smallest else 0.0


def _states(topology: Topology | None, endpoints: Sequence[Endpoint], now: float) -> list[GpuState | None]:
    if topology is None:
        return [None] * len(endpoints)
    known = topology.state
    return [known(endpoint.name, now) for endpoint in endpoints]


def _free_share(known: GpuState) -> float | None:
    free, total = known.memory_free, known.memory_total
    if free is None or not total:
        return None
    return min(1.0, free / total)


def _idle_share(known: GpuState) -> float | None:
    busy = known.utilization
    return None if busy is None else max(0.0, 1.0 - busy)


def _fullness(free_share: float | None) -> float | None:
    return None if free_share is None else 1.0 - (1.0 - LEAST_WITH_ROOM) * free_share
