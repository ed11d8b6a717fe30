"""The options of one simulated server."""

from dataclasses import dataclass, field

from turnout.epp.simulator.engine import EngineConfig
from turnout.epp.simulator.faults import Fault
from turnout.epp.simulator.kv_links import KvLinks


@dataclass(frozen=True)
class SimServerOptions:
    """What `turnout sim-server` can be told; the defaults simulate Llama-3.1-8B on one H100 in real time.

    Raises:
        ValueError: an option is out of its range.

    """

    model: str = "meta-llama/Llama-3.1-8B-Instruct"
    """Name of the base model, in /v1/models, in metrics labels, and as clients must spell it."""
    host: str = "127.0.0.1"
    """Address to listen on, for HTTP and for KV events."""
    port: int = 8000
    """HTTP port; 0 takes any free port."""
    seed: int = 0
    """Seed of the generated answers and of the requests that a fault strikes."""
    time_scale: float = 1.0
    """Wall-clock seconds per simulated second: 1 is real time, 0.1 is ten times faster."""
    block_size: int = 16
    """Tokens per block of the KV cache."""
    num_blocks: int = 26_500
    """Blocks in the KV cache."""
    max_num_seqs: int = 256
    """Most requests in the running batch."""
    max_num_batched_tokens: int = 2_048
    """Most tokens computed in one engine step."""
    max_model_len: int = 32_768
    """Most tokens of prompt and answer together."""
    lora_names: tuple[str, ...] = ()
    """LoRA adapters to serve beside the base model, each under its own model name."""
    max_loras: int = 4
    """Most distinct LoRA adapters in the running batch."""
    kv_events_port: int | None = None
    """ZMQ port that publishes KV cache events; 0 takes any free port, None publishes nothing."""
    kv_replay_port: int | None = None
    """ZMQ port that replays the last KV cache events; 0 takes any free port. Needs `kv_events_port`."""
    kv_events_topic: str | None = None
    """ZMQ topic of the events; None is kv@<host>:<port>@<model>."""
    kv_links: KvLinks | None = None
    """How fast KV-cache blocks come from other servers; `POST /sim/kv-links` replaces it at run time. None: no blocks
    come from anywhere, and prompts are computed here whatever a request says."""
    kv_bytes_per_token: int = 131_072
    """What a token takes of the KV cache; the default is that of Llama-3.1-8B in BF16."""
    fault: Fault = field(default_factory=Fault)
    """The fault active from the start; `POST /sim/fault` replaces it at run time."""

    def __post_init__(self) -> None:
        if not 0.0 < self.time_scale < float("inf"):
            raise ValueError(f"time_scale must be a finite number above 0, got {self.time_scale}")
        ports = {"port": self.port, "kv_events_port": self.kv_events_port, "kv_replay_port": self.kv_replay_port}
        for name, port in ports.items():
            if port is not None and not 0 <= port <= 65_535:
                raise ValueError(f"{name} must be between 0 and 65535, got {port}")
        if self.kv_replay_port is not None and self.kv_events_port is None:
            raise ValueError("kv_replay_port needs kv_events_port")
        if self.kv_bytes_per_token < 1:
            raise ValueError(f"kv_bytes_per_token must be at least 1, got {self.kv_bytes_per_token}")
        names = (self.model, *self.lora_names)
        if not all(names) or len(set(names)) < len(names):
            raise ValueError(f"model and lora_names must be non-empty and distinct, got {', '.join(map(repr, names))}")
        self.engine_config()

    def engine_config(self) -> EngineConfig:
        """Return the engine's part of the options.

        Raises:
            ValueError: a size is out of its range.

        """
        return EngineConfig(
            model=self.model,
            block_size=self.block_size,
            num_blocks=self.num_blocks,
            max_num_seqs=self.max_num_seqs,
            max_num_batched_tokens=self.max_num_batched_tokens,
            max_model_len=self.max_model_len,
            max_loras=self.max_loras,
            record_events=self.kv_events_port is not None,
        )
