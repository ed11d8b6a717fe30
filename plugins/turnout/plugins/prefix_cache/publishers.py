"""Where the engines of a pool publish their KV events."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from turnout.framework import Endpoint

EVENTS_PORT_LABEL = "turnout/kv-events-port"
REPLAY_PORT_LABEL = "turnout/kv-replay-port"
_PORTS = range(1, 1 << 16)


@dataclass(frozen=True, slots=True)
class PodDiscoveryConfig:
    """The ports at which each endpoint publishes its events and answers replay requests.

    An endpoint's rank is added to both, as engines do. The labels ``turnout/kv-events-port`` and
    ``turnout/kv-replay-port`` of an endpoint name its own ports instead, to which nothing is added.
    ``pod_label_selector`` and ``pod_namespace`` have no effect: the pool says which endpoints there are.

    Raises:
        ValueError: a port is not within 1 to 65535.
    """

    pod_label_selector: str = "llm-d.ai/inference-serving=true"
    pod_namespace: str = ""
    socket_port: int = 5557
    replay_socket_port: int | None = None

    def __post_init__(self) -> None:
        for name, port in (("socket_port", self.socket_port), ("replay_socket_port", self.replay_socket_port)):
            if port is not None and port not in _PORTS:
                raise ValueError(f"{name} must be within 1 to 65535, got {port}")


@dataclass(frozen=True, slots=True)
class Publisher:
    """ZMQ addresses of one publisher: of its events, and of its replay socket (empty without one).

    ``topic`` is what its messages begin with where several publishers share the address of events.
    """

    events: str
    replay: str
    topic: str = ""

    @property
    def can_replay(self) -> bool:
        """Whether what was missed can be asked for."""
        return bool(self.replay)


@dataclass(frozen=True, slots=True)
class Publishers:
    """``of`` has the publisher of each endpoint by name; ``problems`` says, by name, why an endpoint has none."""

    of: Mapping[str, Publisher]
    problems: Mapping[str, str]


def locate(endpoints: Sequence[Endpoint], config: PodDiscoveryConfig) -> Publishers:
    """The publishers of these endpoints.

    Two endpoints at one address of events cannot be told apart, so neither has a publisher.
    """
    found: dict[str, Publisher] = {}
    problems: dict[str, str] = {}
    for endpoint in endpoints:
        try:
            found[endpoint.name] = _publisher(endpoint, config)
        except ValueError as error:
            problems[endpoint.name] = str(error)
    uses = Counter(publisher.events for publisher in found.values())
    for name in [name for name, publisher in found.items() if uses[publisher.events] > 1]:
        address = found.pop(name).events
        problems[name] = (
            f"{uses[address]} endpoints have {address} for their events and cannot be told apart; "
            f"give each its port with the label {EVENTS_PORT_LABEL}"
        )
    return Publishers(found, problems)


def _publisher(endpoint: Endpoint, config: PodDiscoveryConfig) -> Publisher:
    host = f"[{endpoint.address}]" if ":" in endpoint.address else endpoint.address
    events = _port(endpoint, EVENTS_PORT_LABEL, config.socket_port)
    replay = _port(endpoint, REPLAY_PORT_LABEL, config.replay_socket_port)
    return Publisher(f"tcp://{host}:{events}", "" if replay is None else f"tcp://{host}:{replay}")


def _port(endpoint: Endpoint, label: str, default: int | None) -> int | None:
    text = endpoint.labels.get(label)
    if text is None:
        return None if default is None else default + endpoint.rank
    # Five digits are enough for a port, and int() of a long text is not free.
    if not (text.isascii() and text.isdecimal() and len(text) <= 5 and int(text) in _PORTS):
        raise ValueError(f"its label {label} must be a port within 1 to 65535, got {text[:40]!r}")
    return int(text)
