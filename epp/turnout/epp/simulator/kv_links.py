"""How fast KV-cache blocks come to one simulated server from others."""

import math
import re

import msgspec

MAX_PEERS = 10_000
MAX_LATENCY_SECONDS = 60.0

_HOST_PORT = re.compile(r"(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253}):[0-9]{1,5}")


class KvLink(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The way from one peer: a fixed latency, and a bandwidth in bytes per second. The default is a 200 Gbit/s network.

    Raises:
        ValueError: a number is out of its range.

    """

    bytes_per_second: float = 25e9
    latency_seconds: float = 0.0001

    def __post_init__(self) -> None:
        if not 1.0 <= self.bytes_per_second < math.inf:
            raise ValueError(f"bytes_per_second must be a finite number from 1 on, got {self.bytes_per_second}")
        if not 0.0 <= self.latency_seconds <= MAX_LATENCY_SECONDS:
            raise ValueError(
                f"latency_seconds must be between 0 and {MAX_LATENCY_SECONDS:g}, got {self.latency_seconds}"
            )

    def seconds(self, size: int) -> float:
        """Return how long so many bytes take."""
        return self.latency_seconds + size / self.bytes_per_second


class KvLinks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The ways from all peers: by the peer's `host:port` as requests name it, and `default` from any other.

    Raises:
        ValueError: there are more than 10,000 peers, or the name of one is not of the form `host:port`.

    """

    default: KvLink = KvLink()
    peers: dict[str, KvLink] = {}

    def __post_init__(self) -> None:
        if len(self.peers) > MAX_PEERS:
            raise ValueError(f"peers must be at most {MAX_PEERS:,}, got {len(self.peers):,}")
        for name in self.peers:
            if not is_host_port(name):
                raise ValueError(f"peers must be named host:port, got {name!r}")

    def link_from(self, peer: str) -> KvLink:
        """Return the way from a peer."""
        return self.peers.get(peer, self.default)


def is_host_port(text: str) -> bool:
    """Whether it is `host:port`, with nothing around it that a URL would take for something else."""
    return _HOST_PORT.fullmatch(text) is not None and 0 < int(text.rpartition(":")[2]) <= 65_535


def parse_kv_links(document: bytes) -> KvLinks:
    """Read the JSON document that `KvLinks` is written as.

    Raises:
        ValueError: it is not JSON, or not of that form, or a value is out of its range.

    """
    try:
        return msgspec.json.decode(document, type=KvLinks)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"KV links: {error}") from error
