"""Names on which Envoy's configuration, the ext_proc server, the access log and the director have to agree."""

from typing import Final

from turnout.framework import COST_BUDGET_HEADERS, TPOT_TARGET_HEADERS, TTFT_TARGET_HEADERS

DESTINATION: Final = "x-gateway-destination-endpoint"
"""Header, and key of dynamic metadata, that names where a request goes."""

DESTINATION_NAMESPACE: Final = "envoy.lb"
SCORES_KEY: Final = "x-gateway-destination-endpoint-scores"

SUBSET_NAMESPACE: Final = "envoy.lb.subset_hint"
SUBSET_KEY: Final = "x-gateway-destination-endpoint-subset"

LEASE_NAMESPACE: Final = "turnout"
LEASE_KEY: Final = "lease"
"""Where in dynamic metadata the name travels under which the access log reports the end of a request."""

REQUEST_END_HEADER: Final = "x-turnout-request-end"
REQUEST_END_IN_ACCESS_LOG: Final = "access-log"
"""gRPC metadata of an ext_proc stream: the end of its request comes by access log."""

REQUEST_ID: Final = "x-request-id"
FAIRNESS_ID: Final = ("x-llm-d-inference-fairness-id", "x-gateway-inference-fairness-id")
OBJECTIVE: Final = ("x-llm-d-inference-objective", "x-gateway-inference-objective")
MODEL_REWRITE: Final = ("x-llm-d-model-name-rewrite", "x-gateway-model-name-rewrite")
QUEUE_TIMEOUT: Final = ("x-turnout-queue-timeout-ms",)
"""Request headers with the preferred name first."""

PLACEMENT: Final = ("x-turnout-affinity", "x-turnout-anti-affinity", "x-turnout-origin", "x-turnout-deferrable")
"""Request headers that plugins read under these names unless their parameters say others."""

VIDEO: Final = ("x-llm-d-video-fps", "x-llm-d-video-duration-seconds", "x-llm-d-video-resolution")
DROPPED_REASON: Final = "x-llm-d-request-dropped-reason"

SINGLE_ATTEMPT: Final = "x-turnout-single-attempt"
"""Request header that asks our gateway for the route without retries; it goes no further."""

ROUTING_HEADERS: Final = (
    DESTINATION,
    SINGLE_ATTEMPT,
    "x-gateway-destination-endpoint-served",
    SUBSET_KEY,
    "x-prefiller-host-port",
    "x-encoder-hosts-ports",
    "x-data-parallel-host-port",
    "x-kv-cache-source-host-port",
    "x-turnout-gang-members",
)
"""Request headers that only the gateway and the Endpoint Picker may set."""

CONTROL_HEADERS: Final = frozenset(
    {
        *ROUTING_HEADERS,
        *FAIRNESS_ID,
        *OBJECTIVE,
        *MODEL_REWRITE,
        *TTFT_TARGET_HEADERS,
        *TPOT_TARGET_HEADERS,
        *COST_BUDGET_HEADERS,
        *QUEUE_TIMEOUT,
        *PLACEMENT,
        *VIDEO,
        DROPPED_REASON,
    }
)
"""Headers between client, gateway and Endpoint Picker; an endpoint gets only those that the decision sets."""
