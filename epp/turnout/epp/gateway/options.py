"""What a gateway's Envoy is asked to do; every value here ends up in its configuration."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

RequestBodyMode = Literal["none", "buffered", "buffered-partial", "full-duplex"]
ResponseBodyMode = Literal["none", "streamed", "full-duplex"]
BalancingPolicy = Literal["round-robin", "least-request"]
"""Envoy's own: turns, or the endpoint with the fewest requests in flight (of all endpoints, ties at random)."""

MAX_BODY_BYTES = 32 * 1024 * 1024
"""Default bound of a request body, bytes."""

# Envoy's limits are uint32 and the body also has to fit one gRPC message.
_BODY_LIMIT_CEILING = 2**30


@dataclass(frozen=True)
class Address:
    """An IP address or host name and a TCP port. An IPv6 address carries no brackets here."""

    host: str
    port: int

    def __post_init__(self) -> None:
        if not self.host:
            raise ValueError("host must not be empty")
        if not 0 < self.port < 65536:
            raise ValueError(f"port must be from 1 to 65535, got {self.port}")

    def __str__(self) -> str:
        """`host:port`, an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads `host:port` or `[ipv6]:port`.

        Raises:
            ValueError: the text has neither form.
        """
        host, colon, port = text.rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        if not colon or not port.isascii() or not port.isdigit() or (":" in host and not bracketed):
            raise ValueError(f"expected host:port or [ipv6]:port, got {text!r}")
        return cls(host[1:-1] if bracketed else host, int(port))

    def is_ip(self) -> bool:
        """Whether the host is an address and needs no name resolution."""
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            return False
        return True


@dataclass(frozen=True)
class OverrideHost:
    """Envoy knows the endpoints, the EPP says which one; a list of picks is tried in order.

    `endpoints` is the fixed list, or the path of an EDS file (see `eds.EdsFile`) that Envoy watches.
    A pick outside the list, or none, goes to any endpoint by round robin.
    """

    endpoints: tuple[Address, ...] | Path


@dataclass(frozen=True)
class OriginalDst:
    """Envoy dials whatever address the EPP names, so it needs no list; there is no fallback."""


@dataclass(frozen=True)
class Balanced:
    """Envoy alone, without an EPP: the baselines to compare with."""

    endpoints: tuple[Address, ...]
    policy: BalancingPolicy


Cluster = OverrideHost | OriginalDst | Balanced


@dataclass(frozen=True)
class EppTls:
    """TLS from Envoy to the EPP. Without `ca_path` (PEM file) the EPP's certificate is not verified."""

    ca_path: Path | None = None


@dataclass(frozen=True)
class GatewayOptions:
    """One gateway: a listener, an EPP and a cluster of model servers.

    Durations are in seconds, sizes in bytes.

    Raises:
        ValueError: a value is out of range, or two contradict each other.
    """

    cluster: Cluster
    listen: Address = Address("0.0.0.0", 8080)  # noqa: S104 - a gateway's purpose is to be reachable
    admin_port: int = 9901
    epp: Address = Address("127.0.0.1", 9002)
    epp_tls: EppTls | None = None
    request_body: RequestBodyMode = "buffered"
    response_headers: bool = False
    response_body: ResponseBodyMode = "none"
    max_body_bytes: int = MAX_BODY_BYTES
    failure_mode_allow: bool = False
    access_log: bool = True
    """Report each request's end to the EPP over the gRPC access log service."""
    eviction: bool = False
    """Keep the EPP's stream of a request open until the response ends, unless the EPP closes it, so that the EPP can
    take the request back."""
    message_timeout_seconds: float = 600.0
    """How long Envoy waits for each answer of the EPP, queueing included."""
    stream_idle_timeout_seconds: float = 900.0
    """How long a request may pass without a byte in either direction."""

    def __post_init__(self) -> None:
        if not 0 < self.max_body_bytes <= _BODY_LIMIT_CEILING:
            raise ValueError(f"max_body_bytes must be from 1 to {_BODY_LIMIT_CEILING}, got {self.max_body_bytes}")
        if self.message_timeout_seconds <= 0 or self.stream_idle_timeout_seconds <= 0:
            raise ValueError("message_timeout_seconds and stream_idle_timeout_seconds must be above 0")
        self._check_relations()

    def _check_relations(self) -> None:
        if self.response_body != "none" and not self.response_headers:
            raise ValueError(f"response_body {self.response_body!r} needs response_headers")
        if isinstance(self.cluster, Balanced):
            return
        if not self.access_log and self.response_body == "none":
            raise ValueError("the EPP would not learn a request's end: set access_log or a response_body mode")
        no_endpoints = isinstance(self.cluster, OriginalDst)
        if self.failure_mode_allow and no_endpoints:
            raise ValueError("failure_mode_allow has no effect with OriginalDst, which has no endpoints of its own")
        if self.failure_mode_allow and self.request_body == "full-duplex":
            raise ValueError("failure_mode_allow has no effect in full-duplex mode: Envoy answers 503 all the same")
