"""Parameters of the precise producer, as the field nests them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, TypeAlias

from turnout.plugins.prefix_cache.held import BYTES_PER_BLOCK
from turnout.plugins.prefix_cache.publishers import PodDiscoveryConfig
from turnout.plugins.prefix_cache.tiers import DEFAULT_BACKENDS, CacheBackend

HashAlgorithm: TypeAlias = Literal["", "cbor-fnv", "xxh64"]
EngineType: TypeAlias = Literal["vllm", "sglang"]

_SIZE = re.compile(r"(\d{1,15})(?:([KMGT])(i?))?B?")
_DEFAULT_PODS = PodDiscoveryConfig()
_POWERS = {"K": 1, "M": 2, "G": 3, "T": 4}


@dataclass(frozen=True, slots=True)
class TokenProcessorConfig:
    """``block_size_tokens`` is the size of a block where no engine has said otherwise; ``block_size`` its former name.

    ``hash_seed`` and ``hash_algorithm`` have no effect: blocks are named by their tokens, whatever engines hash.

    Raises:
        ValueError: a size is negative.
    """

    block_size_tokens: int = 16
    block_size: int = 0
    hash_seed: str = ""
    hash_algorithm: HashAlgorithm = ""

    def __post_init__(self) -> None:
        if self.block_size_tokens < 0 or self.block_size < 0:
            raise ValueError(f"block_size_tokens must be at least 0, got {self.block_size_tokens}")

    @property
    def size(self) -> int:
        """Tokens of a block, at least 1."""
        return self.block_size_tokens or self.block_size or 16


@dataclass(frozen=True, slots=True)
class InMemoryConfig:
    """``size`` is the most blocks to keep. ``pod_cache_size`` has no effect: every endpoint that holds a block counts.

    Raises:
        ValueError: the size is below 1.
    """

    size: int = 100_000_000
    pod_cache_size: int = 10

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size must be at least 1, got {self.size}")


@dataclass(frozen=True, slots=True)
class CostAwareMemoryConfig:
    """``size`` is the most memory for blocks, in bytes or like ``2GiB``.

    Raises:
        ValueError: the size is no such text.
    """

    size: str = "2GiB"

    def __post_init__(self) -> None:
        if self.in_bytes < 1:
            raise ValueError(f"size must be at least 1 byte, got {self.size!r}")

    @property
    def in_bytes(self) -> int:
        """The size in bytes; 0 if it cannot be read."""
        found = _SIZE.fullmatch(self.size.strip())
        if found is None:
            return 0
        number, unit, binary = found.groups()
        factor: int = (1024 if binary else 1000) ** _POWERS.get(unit, 0)
        return int(number) * factor


@dataclass(frozen=True, slots=True)
class KVBlockIndexConfig:
    """Bounds of the index; the tightest one counts. ``enable_metrics`` and ``metrics_logging_interval`` have no effect:
    the figures are always there.
    """

    in_memory_config: InMemoryConfig | None = None
    cost_aware_memory_config: CostAwareMemoryConfig | None = None
    enable_metrics: bool = False
    metrics_logging_interval: timedelta | None = None


@dataclass(frozen=True, slots=True)
class IndexerConfig:
    """The index, and what a block in each tier of memory is worth."""

    kv_block_index_config: KVBlockIndexConfig = KVBlockIndexConfig()
    kv_cache_backend_configs: Sequence[CacheBackend] = DEFAULT_BACKENDS

    def max_blocks(self, max_index_bytes: int) -> int:
        """The most blocks that all bounds allow."""
        config = self.kv_block_index_config
        memory = config.cost_aware_memory_config
        in_bytes = max_index_bytes if memory is None else min(max_index_bytes, memory.in_bytes)
        blocks = max(1, in_bytes // BYTES_PER_BLOCK)
        return blocks if config.in_memory_config is None else min(blocks, config.in_memory_config.size)


@dataclass(frozen=True, slots=True)
class KVEventsConfig:
    """Where events come from.

    With ``discover_pods`` every endpoint is asked at its own address. With ``zmq_endpoint`` (like ``tcp://*:5557``)
    engines connect to this process and name themselves in the topic, ``kv@<ip>:<port>@<model>``; topics that do not
    begin with ``topic_filter`` are passed over. ``concurrency`` and ``engine_type`` have no effect: one event loop does
    the work, and the form of an event is recognised by itself.

    Raises:
        ValueError: ``zmq_endpoint`` is no address of ZMQ's.
    """

    zmq_endpoint: str = ""
    topic_filter: str = "kv@"
    concurrency: int = 4
    engine_type: EngineType = "vllm"
    discover_pods: bool = True
    pod_discovery_config: PodDiscoveryConfig = _DEFAULT_PODS

    def __post_init__(self) -> None:
        if self.zmq_endpoint and not self.zmq_endpoint.startswith(("tcp://", "ipc://")):
            raise ValueError(f"zmq_endpoint must begin with tcp:// or ipc://, got {self.zmq_endpoint!r}")
