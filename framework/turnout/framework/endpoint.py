"""Endpoints: the immutable view of the model servers that every request shares."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")

EMPTY: Mapping[Any, Any] = MappingProxyType({})


def _nothing() -> Mapping[Any, Any]:
    return EMPTY


class AttributeKey(Generic[T]):
    """Names a value of type ``T`` that the data layer keeps with an endpoint. Compares by identity."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"AttributeKey({self.name!r})"


@dataclass(frozen=True, slots=True)
class EndpointMetrics:
    """What an engine last reported.

    ``kv_cache_utilization`` is a fraction, 0 to 1. ``waiting_queue_size`` and ``running_requests`` count
    requests. ``cache_block_size`` is in tokens, ``cache_num_blocks`` in blocks; 0 means not reported.
    ``prefix_cache_queries`` counts the prompt tokens that were looked up in the prefix cache since the engine
    started, ``prefix_cache_hits`` those that were found. ``kv_transfers`` counts the transfers of KV cache
    between engines since then, as the engine that reports them counts, and ``kv_transfer_seconds`` is how long
    they took together.
    ``observed_at`` holds, for each field that was ever read from the engine, when that was, in seconds on
    the clock of ``CycleState.now``. ``custom`` holds configured scalar metrics by their attribute key.
    """

    waiting_queue_size: int = 0
    running_requests: int = 0
    kv_cache_utilization: float = 0.0
    active_adapters: frozenset[str] = frozenset()
    waiting_adapters: frozenset[str] = frozenset()
    max_active_adapters: int = 0
    cache_block_size: int = 0
    cache_num_blocks: int = 0
    prefix_cache_queries: float = 0.0
    prefix_cache_hits: float = 0.0
    kv_transfers: float = 0.0
    kv_transfer_seconds: float = 0.0
    custom: Mapping[str, float] = field(default_factory=_nothing)
    observed_at: Mapping[str, float] = field(default_factory=_nothing)

    def age(self, name: str, now: float) -> float:
        """Seconds since the named field was read from the engine; infinite if it never was."""
        seen = self.observed_at.get(name)
        return float("inf") if seen is None else max(0.0, now - seen)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One model server (one rank of one) at one moment.

    ``name`` is unique in the pool: ``namespace/name``. ``address`` is an IP address without brackets.
    ``in_flight`` counts the requests that this Endpoint Picker dispatched there and that have not ended; it
    is as fresh as the dispatch itself, unlike ``metrics``.
    """

    name: str
    address: str
    port: int
    labels: Mapping[str, str] = field(default_factory=_nothing)
    metrics: EndpointMetrics = field(default_factory=EndpointMetrics)
    attributes: Mapping[AttributeKey[Any], object] = field(default_factory=_nothing)
    in_flight: int = 0
    rank: int = 0
    host_port: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        host = f"[{self.address}]" if ":" in self.address else self.address
        object.__setattr__(self, "host_port", f"{host}:{self.port}")

    def with_more_requests(self, count: int) -> "Endpoint":
        """The endpoint as if so many requests more were on their way to it: in flight, and waiting there."""
        metrics = replace(self.metrics, waiting_queue_size=self.metrics.waiting_queue_size + count)
        return replace(self, metrics=metrics, in_flight=self.in_flight + count)

    def attribute(self, key: AttributeKey[T]) -> T | None:
        """The value under the key, or None if the data layer has none for this endpoint."""
        return cast("T | None", self.attributes.get(key))
