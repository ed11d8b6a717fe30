"""The mutable record behind an immutable endpoint."""

from types import MappingProxyType

from turnout.epp.datalayer.health import Health, HealthPolicy
from turnout.framework import AttributeKey, Endpoint, EndpointMetrics, EndpointSpec

METRICS_PORT = AttributeKey[int]("metrics-port")
"""The port of an endpoint's metrics, where discovery says that it is not the one of requests."""

_NO_METRICS = EndpointMetrics()


class Record:
    """Everything known of one endpoint at one address, for as long as it stays in the pool."""

    __slots__ = (
        "endpoint",
        "health",
        "in_flight",
        "position",
        "reported",
        "request_problem",
        "scrape_problem",
        "serving",
        "serving_position",
        "spec",
    )

    def __init__(self, spec: EndpointSpec, policy: HealthPolicy) -> None:
        self.spec = spec
        self.health = Health(policy)
        self.reported = _NO_METRICS
        self.in_flight = 0
        self.scrape_problem = ""
        self.request_problem = ""
        self.serving = True
        self.position = 0
        self.serving_position = 0  # means something only while ``serving``
        self.endpoint = self.build()

    def is_at(self, spec: EndpointSpec) -> bool:
        """Whether the spec tells of the same server."""
        return self.spec.address == spec.address and self.spec.port == spec.port

    def build(self, metrics: EndpointMetrics | None = None) -> Endpoint:
        """The endpoint from its spec, with these metrics or else the expected ones."""
        spec = self.spec
        attributes = {} if spec.metrics_port is None else {METRICS_PORT: spec.metrics_port}
        return Endpoint(
            spec.name,
            spec.address,
            spec.port,
            MappingProxyType(dict(spec.labels)),
            self.expected() if metrics is None else metrics,
            MappingProxyType(attributes),
            self.in_flight,
            spec.rank,
        )

    def rebuild(self) -> Endpoint:
        """A new endpoint after a change of metrics or of what is in flight; it shares labels and attributes."""
        old = self.endpoint
        self.endpoint = Endpoint(
            old.name,
            old.address,
            old.port,
            old.labels,
            self.expected(),
            old.attributes,
            self.in_flight,
            old.rank,
        )
        return self.endpoint

    def expected(self) -> EndpointMetrics:
        """What the engine reported, with the requests that it cannot have reported yet as waiting ones."""
        seen = self.reported
        unreported = self.in_flight - seen.running_requests - seen.waiting_queue_size
        if unreported <= 0:
            return seen
        return EndpointMetrics(
            seen.waiting_queue_size + unreported,
            seen.running_requests,
            seen.kv_cache_utilization,
            seen.active_adapters,
            seen.waiting_adapters,
            seen.max_active_adapters,
            seen.cache_block_size,
            seen.cache_num_blocks,
            seen.prefix_cache_queries,
            seen.prefix_cache_hits,
            seen.kv_transfers,
            seen.kv_transfer_seconds,
            seen.custom,
            seen.observed_at,
        )

    def problem(self) -> str:
        """What last spoke against the endpoint; empty if nothing does."""
        return "; ".join(filter(None, (self.scrape_problem, self.request_problem)))
