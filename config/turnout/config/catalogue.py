"""Plugin types that the field's Endpoint Picker has, so that a known name is told from a misspelt one."""

KNOWN_TYPES = frozenset(
    (
        "single-profile-handler",
        "header-profile-handler",
        "disagg-profile-handler",
        "pd-profile-handler",
        "data-parallel-profile-handler",
        "always-disagg-pd-decider",
        "always-disagg-multimodal-decider",
        "prefix-based-pd-decider",
        "disagg-headers-handler",
        "prefill-header-handler",
        "label-selector-filter",
        "by-label-selector",
        "by-label",
        "decode-filter",
        "prefill-filter",
        "encode-filter",
        "session-affinity-filter",
        "multicluster-session-affinity-filter",
        "endpoint-attribute-filter",
        "topology-affinity-filter",
        "utilization-filter",
        "prefix-cache-affinity-filter",
        "slo-headroom-tier-filter",
        "context-length-aware",
        "header-based-testing-filter",
        "queue-scorer",
        "running-requests-size-scorer",
        "kv-cache-utilization-scorer",
        "lora-affinity-scorer",
        "prefix-cache-scorer",
        "precise-prefix-cache-scorer",
        "load-aware-scorer",
        "active-request-scorer",
        "token-load-scorer",
        "no-hit-lru-scorer",
        "session-affinity-scorer",
        "header-label-affinity-scorer",
        "topology-affinity-scorer",
        "endpoint-attribute-scorer",
        "mm-embeddings-cache-scorer",
        "latency-scorer",
        "multicluster-queue-scorer",
        "multicluster-kv-cache-utilization-scorer",
        "multicluster-prefix-cache-scorer",
        "max-score-picker",
        "random-picker",
        "weighted-random-picker",
        "token-producer",
        "tokenizer",
        "approx-prefix-cache-producer",
        "multicluster-approx-prefix-cache-producer",
        "burst-prefix-cache-producer",
        "precise-prefix-cache-producer",
        "inflight-load-producer",
        "predicted-latency-producer",
        "mm-embeddings-cache-producer",
        "session-id-producer",
        "p2p-source-producer",
        "agent-identity",
        "disaggregatedset-rollout-screener",
        "latency-slo-admitter",
        "probabilistic-admitter",
        "request-attribute-reporter",
        "destination-endpoint-served-verifier",
        "openai-parser",
        "anthropic-parser",
        "vllmhttp-parser",
        "sglanghttp-parser",
        "vllmgrpc-parser",
        "vertexai-parser",
        "passthrough-parser",
        "metrics-data-source",
        "core-metrics-extractor",
        "models-data-source",
        "models-data-extractor",
        "dcgm-data-source",
        "dcgm-extractor",
        "topology-extractor",
        "k8s-notification-source",
        "endpoint-notification-source",
        "multicluster-metrics-data-source",
        "multicluster-metrics-extractor",
        "file-discovery",
        "multicluster-file-discovery",
        "fcfs-ordering-policy",
        "edf-ordering-policy",
        "slo-deadline-ordering-policy",
        "global-strict-fairness-policy",
        "round-robin-fairness-policy",
        "program-aware-fairness",
        "static-usage-limit-policy",
        "priority-holdback-policy",
        "soft-reflective-ceiling-policy",
        "utilization-detector",
        "concurrency-detector",
        "priority-then-time-eviction-order-policy",
        "sheddable-eviction-filter",
    )
)

DEFAULT_PARSERS = ("openai-parser", "anthropic-parser", "vllmhttp-parser", "passthrough-parser")
DEFAULT_ORDERING = "fcfs-ordering-policy"
DEFAULT_FAIRNESS = "global-strict-fairness-policy"
DEFAULT_USAGE_LIMIT = "static-usage-limit-policy"
DEFAULT_FLOW_POLICIES = (DEFAULT_ORDERING, DEFAULT_FAIRNESS, DEFAULT_USAGE_LIMIT)
DEFAULT_EVICTION_ORDER = "priority-then-time-eviction-order-policy"
DEFAULT_EVICTION_FILTER = "sheddable-eviction-filter"
DEFAULT_DETECTOR = "utilization-detector"
DEFAULT_PICKER = "max-score-picker"
DEFAULT_SOURCE = "metrics-data-source"
NOTIFICATION_SOURCE = "endpoint-notification-source"
DEFAULT_EXTRACTOR = "core-metrics-extractor"
SINGLE_PROFILE_HANDLER = "single-profile-handler"
IN_FLIGHT_PRODUCER = "inflight-load-producer"

FLOW_CONTROL_GATE = "flowControl"
FEATURE_GATES = {FLOW_CONTROL_GATE: False, "haPopulateNonLeaderDatastore": True}

# Types whose parameters the field ignores, so that existing files may carry any.
IGNORES_PARAMETERS = frozenset({SINGLE_PROFILE_HANDLER})
