"""What the Endpoint Picker can be told besides its configuration file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

LogFormat = Literal["text", "json"]

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class EppOptions:
    """One process. Durations are in seconds, sizes in bytes; port 0 takes any free one.

    ``endpoints`` are fixed endpoints (``URL[,label=value]...``); without them the configuration names a discovery.
    ``read_responses`` follows responses although no plugin reads them and the access log tells their end: for usage.
    ``allow_queue_changes`` lets whoever reaches the metrics port give queued requests another priority.
    ``eds_file`` is kept current with the addresses of the endpoints for an Envoy that watches it.

    Raises:
        ValueError: a value is out of its range.
    """

    host: str = "0.0.0.0"  # noqa: S104 - an Endpoint Picker is there to be reached by its proxy
    grpc_port: int = 9002
    grpc_health_port: int = 9003
    metrics_port: int = 9090
    pool_name: str = "default"
    config_file: Path | None = None
    config_text: str | None = None
    watch_config: bool = True
    endpoints: tuple[str, ...] = ()
    secure_serving: bool = True
    cert_path: Path | None = None
    enable_cert_reload: bool = False
    health_checking: bool = False
    drain_timeout: float = 30.0
    grpc_max_recv_msg_size: int | None = None
    max_request_body_bytes: int = 32 * MEBIBYTE
    disable_endpoint_subset_filter: bool = False
    emit_endpoint_scores: bool = False
    enable_grpc_stream_metrics: bool = False
    read_responses: bool = False
    allow_queue_changes: bool = False
    fallback_endpoints: int = 0
    refresh_metrics_interval: float = 0.05
    metrics_prefix: str = "turnout_"
    explain_sample_rate: float = 0.0
    eds_file: Path | None = None

    def __post_init__(self) -> None:
        for name in ("grpc_port", "grpc_health_port", "metrics_port"):
            port: int = getattr(self, name)
            if not 0 <= port <= 65_535:
                raise ValueError(f"{name} must be from 0 to 65535, not {port}")
        if self.max_request_body_bytes < 1:
            raise ValueError(f"max_request_body_bytes must be at least 1, not {self.max_request_body_bytes}")
        if self.config_file is not None and self.config_text is not None:
            raise ValueError("config_file and config_text exclude each other")
        if not 0.0 <= self.explain_sample_rate <= 1.0:
            raise ValueError(f"explain_sample_rate must be within [0, 1], not {self.explain_sample_rate}")
        if self.fallback_endpoints < 0 or self.drain_timeout < 0:
            raise ValueError("fallback_endpoints and drain_timeout must be at least 0")
        if self.enable_cert_reload and self.cert_path is None:
            raise ValueError("enable_cert_reload needs cert_path")
