"""What is known of where endpoints run, and how fast data goes from one to another."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Protocol, TypeAlias

from turnout.framework import KeyFamily, Quantity

DEFAULT_PRODUCER = "topology-producer"

KV_BYTES_PER_TOKEN = Quantity(131_072)
"""Llama-3.1-8B in BF16: 2 (keys and values) x 32 layers x 8 KV heads x 128 x 2 bytes."""

NO_MODELS: Mapping[str, Quantity] = MappingProxyType({})


class Reach(IntEnum):
    """What two endpoints share, from the nearest to the farthest. ``NVLINK`` is within a node, ``APART`` nothing known.

    GPUs with NVLink between them may be on different sockets: ``Route.same_socket`` tells.
    """

    NVLINK = 0
    SOCKET = 1
    NODE = 2
    RACK = 3
    ZONE = 4
    REGION = 5
    APART = 6


@dataclass(frozen=True, slots=True)
class Route:
    """The best way from the GPUs of one endpoint to those of another; the same both ways.

    ``bytes_per_second`` is that of its narrowest part, above 0; ``latency_seconds`` is that of all its parts together.
    ``measured`` says that both ends are in topology documents; otherwise it is assumed of what both share.
    """

    reach: Reach
    bytes_per_second: float
    latency_seconds: float
    same_socket: bool = False
    measured: bool = False

    def seconds(self, size: float) -> float:
        """How long so many bytes take."""
        return self.latency_seconds + size / self.bytes_per_second


@dataclass(frozen=True, slots=True)
class Place:
    """Names of what the endpoint is in; empty where unknown."""

    host: str = ""
    rack: str = ""
    zone: str = ""
    region: str = ""


@dataclass(frozen=True, slots=True)
class Hardware:
    """What an endpoint runs on. It changes seldom; what is unknown is None or empty.

    ``gpus`` are the indices of its GPUs on its host, those of its tensor-parallel group; ``gpu_memory`` is in bytes, of
    one GPU, the smallest (of the slice, on a MIG slice). ``group_bytes_per_second`` is the narrowest way between any
    two of its GPUs, and ``group_nvlink`` whether all of these ways are NVLink; None with fewer than two. ``numa_local``
    says that all its GPUs are on one socket. ``pcie_generation`` is the lowest. ``mig_profiles`` names its slices;
    empty: whole GPUs.
    """

    place: Place
    gpu_type: str = ""
    gpu_count: int | None = None
    gpu_memory: int | None = None
    gpus: tuple[int, ...] = ()
    group_bytes_per_second: float | None = None
    group_nvlink: bool | None = None
    numa_local: bool | None = None
    pcie_generation: int | None = None
    mig_profiles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GpuState:
    """How the GPUs of an endpoint were when they were last looked at; what is unknown is None.

    ``memory_free`` and ``memory_total`` are in bytes, over all its GPUs or slices. ``utilization`` is the share of time
    in which they computed, on average. ``power`` is the share of the power limit that is drawn, of the GPU with the
    highest. ``throttled`` names what slows any of them: ``power``, ``thermal``, ``hardware``. ``lost`` says that one
    fell off the bus.
    """

    memory_free: int | None = None
    memory_total: int | None = None
    utilization: float | None = None
    power: float | None = None
    throttled: frozenset[str] | None = None
    lost: bool = False


class KvTransfer:
    """How much the KV cache of a prompt is, and how long it takes on its way to another endpoint.

    A token has ``bytes_per_token``, over all layers and the whole tensor-parallel group; those of the models in
    ``by_model`` have their own.

    Raises:
        ValueError: a number of bytes is 0.
    """

    __slots__ = ("_by_model", "_bytes_per_token")

    def __init__(
        self, bytes_per_token: Quantity = KV_BYTES_PER_TOKEN, by_model: Mapping[str, Quantity] = NO_MODELS
    ) -> None:
        for model, size in {"": bytes_per_token, **by_model}.items():
            if size < 1:
                named = f"bytes_per_token of {model}" if model else "bytes_per_token"
                raise ValueError(f"{named} must be at least 1, got {size}")
        self._bytes_per_token = bytes_per_token
        self._by_model = dict(by_model)

    def size(self, tokens: int, model: str = "") -> int:
        """The bytes of so many tokens."""
        return tokens * self._by_model.get(model, self._bytes_per_token)

    def seconds(self, route: Route, tokens: int, model: str = "") -> float:
        """How long they take; 0 if there are none, for nothing is sent then."""
        return route.seconds(self.size(tokens, model)) if tokens > 0 else 0.0


Routes: TypeAlias = Callable[[str], Route | None]
"""The way to the endpoint of this name; None if nothing is known of where one of the two is."""


class Topology(Protocol):
    """The pool's topology. A live view, which may be kept and asked at any time; it does not change within a cycle.

    An endpoint is known as soon as any of its labels, or a document, says something about it. ``now`` is on the clock
    of ``CycleState.now``.
    """

    def hardware(self, endpoint_name: str) -> Hardware | None:
        """What the endpoint runs on; None if nothing is known."""
        ...

    def state(self, endpoint_name: str, now: float) -> GpuState | None:
        """How its GPUs are; None if nothing is known, or what was known is too old."""
        ...

    def routes(self, endpoint_name: str) -> Routes:
        """The ways from the endpoint to others. Worked out once for each two endpoints, and cheap afterwards."""
        ...


TOPOLOGY: KeyFamily[Topology] = KeyFamily("topology", DEFAULT_PRODUCER)
