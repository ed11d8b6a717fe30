"""Every metric family by its stem: type, labels, buckets and help text.

Stems, labels and buckets are those of the field's Endpoint Picker, so that its dashboards and alerts work when
the prefix is set to its own. ``plugin_errors_total`` is ours. Pool gauges are in ``pool``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from turnout.epp.observe.series import CellFamily, HistogramFamily

REQUEST_LABELS = ("model_name", "target_model_name", "fairness_id", "priority")
PLUGIN_LABELS = ("extension_point", "plugin_type", "plugin_name")
QUEUE_LABELS = ("fairness_id", "priority", "inference_pool", "model_name", "target_model_name")
WAIT_LABELS = ("fairness_id", "priority", "outcome", "inference_pool", "model_name", "target_model_name")
ATTEMPT_LABELS = ("status", "target_model_name", "endpoint_name", "namespace", "port")

LATENCY = (
    *(0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60, 120),
    *(180, 240, 300, 360, 480, 600, 900, 1200, 1800, 2700, 3600),
)
FIRST_TOKEN = LATENCY[: LATENCY.index(120) + 1]
REQUEST_SIZE = tuple(64 * 2**step for step in range(25))
# 32778 is the field's own bound; a dashboard that names the bucket expects it.
RESPONSE_SIZE = (1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32778, 65536)
INPUT_TOKENS = (*RESPONSE_SIZE, 131072, 262144, 524288, 1048576)
OUTPUT_TOKENS = RESPONSE_SIZE[: RESPONSE_SIZE.index(8192) + 1]
PER_OUTPUT_TOKEN = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
STREAMED_TOKEN = (
    *(0.0005, 0.00205, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.125),
    *(0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1, 2),
)
BETWEEN_TOKENS = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 2)
FAST = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
PROCESSING = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.015, 0.025, 0.04, 0.06, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
CONFIRMED = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
QUEUED = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
STREAM = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 120, 300, 600)


@dataclass(frozen=True, slots=True)
class HistogramSpec:
    """A histogram without its prefix."""

    stem: str
    help: str
    labels: Sequence[str]
    bounds: Sequence[float]


@dataclass(frozen=True, slots=True)
class CellSpec:
    """A counter or a gauge without its prefix."""

    stem: str
    help: str
    labels: Sequence[str] = ()


HISTOGRAMS = (
    HistogramSpec(
        "request_duration_seconds",
        "Arrival to the last byte of requests that ended normally.",
        REQUEST_LABELS,
        LATENCY,
    ),
    HistogramSpec("request_size_bytes", "Length of the request body.", REQUEST_LABELS, REQUEST_SIZE),
    HistogramSpec("response_size_bytes", "Length of the response body as observed.", REQUEST_LABELS, RESPONSE_SIZE),
    HistogramSpec("request_input_tokens", "Prompt tokens as the engine counts them.", REQUEST_LABELS, INPUT_TOKENS),
    HistogramSpec("request_output_tokens", "Generated tokens by the engine's count.", REQUEST_LABELS, OUTPUT_TOKENS),
    HistogramSpec(
        "request_cached_tokens", "Prompt tokens that the engine took from its cache.", REQUEST_LABELS, INPUT_TOKENS
    ),
    HistogramSpec(
        "request_ntpot_seconds", "Request duration divided by generated tokens.", REQUEST_LABELS, PER_OUTPUT_TOKEN
    ),
    HistogramSpec(
        "request_ttft_seconds",
        "Arrival to the first byte of a response.",
        (*REQUEST_LABELS, "streaming"),
        FIRST_TOKEN,
    ),
    HistogramSpec(
        "request_streaming_tpot_seconds",
        "Mean time between generated tokens after the first, of streamed responses.",
        REQUEST_LABELS,
        STREAMED_TOKEN,
    ),
    HistogramSpec(
        "request_streaming_itl_seconds",
        "Time between two pieces of a streamed response.",
        REQUEST_LABELS,
        BETWEEN_TOKENS,
    ),
    HistogramSpec("scheduler_e2e_duration_seconds", "Time of a scheduling cycle.", (), FAST),
    HistogramSpec("plugin_duration_seconds", "Time of one call of one plugin.", PLUGIN_LABELS, FAST),
    HistogramSpec(
        "request_processing_duration_seconds", "Last byte of a request to the decision where it goes.", (), PROCESSING
    ),
    HistogramSpec(
        "flow_control_request_queue_duration_seconds", "Time in the queue, by how it ended.", WAIT_LABELS, QUEUED
    ),
    HistogramSpec("flow_control_dispatch_cycle_duration_seconds", "Time of one look for whose turn it is.", (), FAST),
    HistogramSpec(
        "flow_control_revocation_confirmation_seconds",
        "From an eviction until its room was seen.",
        ("inference_pool",),
        CONFIRMED,
    ),
    HistogramSpec(
        "flow_control_request_enqueue_duration_seconds",
        "Time that putting a request into the queue took.",
        ("fairness_id", "priority", "outcome"),
        FAST,
    ),
)

COUNTERS = (
    CellSpec("request_total", "Requests sent to an endpoint.", REQUEST_LABELS),
    CellSpec("request_error_total", "Requests refused, failed or broken off.", (*REQUEST_LABELS, "error_code")),
    CellSpec("scheduler_attempts_total", "Scheduling cycles by outcome and chosen endpoint.", ATTEMPT_LABELS),
    CellSpec(
        "flow_control_requests_total", "Requests by the end of their wait.", ("outcome", "priority", "inference_pool")
    ),
    CellSpec(
        "flow_control_revocations_issued_total", "Running requests that were evicted.", ("priority", "inference_pool")
    ),
    CellSpec(
        "flow_control_revocations_total",
        "Evictions by whether their room was seen in time.",
        ("outcome", "inference_pool"),
    ),
    CellSpec("plugin_errors_total", "Failed calls of plugins.", ("extension_point", "plugin_name")),
)

GAUGES = (
    CellSpec("flow_control_queue_size", "Requests that wait.", QUEUE_LABELS),
    CellSpec("flow_control_queue_bytes", "Bytes of the bodies of requests that wait.", QUEUE_LABELS),
    CellSpec("flow_control_pool_saturation", "How full the pool is; 1 is the set point.", ("inference_pool", "stage")),
    CellSpec("request_running", "Requests sent to an endpoint that have not ended.", REQUEST_LABELS),
    CellSpec("flow_control_reclaim_target", "Running requests that have to end.", ("inference_pool",)),
    CellSpec("flow_control_pending_reclaim", "Evicted requests whose room was not seen yet.", ("inference_pool",)),
    CellSpec("info", "Always 1; the labels say what is running.", ("commit", "build_ref")),
)


class Families:
    """The families of one process under one prefix, registered."""

    def __init__(self, prefix: str, registry: CollectorRegistry) -> None:
        self.histograms = {
            spec.stem: HistogramFamily(prefix + spec.stem, spec.help, spec.labels, spec.bounds) for spec in HISTOGRAMS
        }
        self.counters = {
            spec.stem: CellFamily(CounterMetricFamily, prefix + spec.stem, spec.help, spec.labels) for spec in COUNTERS
        }
        self.gauges = {
            spec.stem: CellFamily(GaugeMetricFamily, prefix + spec.stem, spec.help, spec.labels) for spec in GAUGES
        }
        for family in (*self.histograms.values(), *self.counters.values(), *self.gauges.values()):
            registry.register(family)
