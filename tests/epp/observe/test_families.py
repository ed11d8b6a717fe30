"""The table below is the field's own, so that a changed name, label or bound fails here."""

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

from turnout.epp.observe.families import COUNTERS, GAUGES, HISTOGRAMS, Families
from turnout.epp.observe.series import CellFamily, HistogramFamily

M = ("model_name", "target_model_name", "fairness_id", "priority")
LAT = [
    *(0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60, 120),
    *(180, 240, 300, 360, 480, 600, 900, 1200, 1800, 2700, 3600),
]
TTFT = [0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60, 120]
SIZE = [
    *(64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072, 262144, 524288, 1048576, 2097152),
    *(4194304, 8388608, 16777216, 33554432, 67108864, 134217728, 268435456, 536870912, 1073741824),
]
RSIZE = [1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32778, 65536]
TOKIN = [
    *(1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32778, 65536),
    *(131072, 262144, 524288, 1048576),
]
TOKOUT = [1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192]
FAST = [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1]
NTPOT = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10]
TPOT = [
    *(0.0005, 0.00205, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.125, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8),
    *(1, 2),
]
ITL = [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 2]
PROCESSING = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.015, 0.025, 0.04, 0.06, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

QUEUE = ("fairness_id", "priority", "inference_pool", "model_name", "target_model_name")

REFERENCE = [
    ("request_total", "counter", M, None),
    ("request_error_total", "counter", (*M, "error_code"), None),
    ("request_duration_seconds", "histogram", M, LAT),
    ("request_size_bytes", "histogram", M, SIZE),
    ("response_size_bytes", "histogram", M, RSIZE),
    ("request_input_tokens", "histogram", M, TOKIN),
    ("request_output_tokens", "histogram", M, TOKOUT),
    ("request_cached_tokens", "histogram", M, TOKIN),
    ("request_running", "gauge", M, None),
    ("request_ntpot_seconds", "histogram", M, NTPOT),
    ("request_ttft_seconds", "histogram", (*M, "streaming"), TTFT),
    ("request_streaming_tpot_seconds", "histogram", M, TPOT),
    ("request_streaming_itl_seconds", "histogram", M, ITL),
    ("scheduler_e2e_duration_seconds", "histogram", (), FAST),
    (
        "scheduler_attempts_total",
        "counter",
        ("status", "target_model_name", "endpoint_name", "namespace", "port"),
        None,
    ),
    ("plugin_duration_seconds", "histogram", ("extension_point", "plugin_type", "plugin_name"), FAST),
    ("request_processing_duration_seconds", "histogram", (), PROCESSING),
    ("info", "gauge", ("commit", "build_ref"), None),
    (
        "flow_control_request_queue_duration_seconds",
        "histogram",
        ("fairness_id", "priority", "outcome", "inference_pool", "model_name", "target_model_name"),
        [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
    ),
    ("flow_control_dispatch_cycle_duration_seconds", "histogram", (), FAST),
    (
        "flow_control_request_enqueue_duration_seconds",
        "histogram",
        ("fairness_id", "priority", "outcome"),
        FAST,
    ),
    (
        "flow_control_revocation_confirmation_seconds",
        "histogram",
        ("inference_pool",),
        [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    ),
    ("flow_control_revocations_issued_total", "counter", ("priority", "inference_pool"), None),
    ("flow_control_revocations_total", "counter", ("outcome", "inference_pool"), None),
    ("flow_control_reclaim_target", "gauge", ("inference_pool",), None),
    ("flow_control_pending_reclaim", "gauge", ("inference_pool",), None),
    ("flow_control_requests_total", "counter", ("outcome", "priority", "inference_pool"), None),
    ("flow_control_queue_size", "gauge", QUEUE, None),
    ("flow_control_queue_bytes", "gauge", QUEUE, None),
    ("flow_control_pool_saturation", "gauge", ("inference_pool", "stage"), None),
]
OURS = {"plugin_errors_total"}


@pytest.mark.parametrize(("stem", "kind", "labels", "bounds"), [pytest.param(*row, id=row[0]) for row in REFERENCE])
def test_a_family_has_the_fields_type_labels_and_buckets(
    stem: str, kind: str, labels: tuple[str, ...], bounds: list[float] | None
) -> None:
    families = Families("p_", CollectorRegistry())
    if kind == "histogram":
        assert list(families.histograms[stem].bounds) == bounds
    by_stem: dict[str, CellFamily | HistogramFamily] = {**families.histograms, **families.counters, **families.gauges}
    family = by_stem[stem]
    family.child(*labels)
    collected: Metric = next(iter(family.collect()))
    assert collected.type == kind
    assert _labels(collected) == set(labels)
    assert f"p_{stem}" in {sample.name.removesuffix("_count") for sample in collected.samples}


def test_there_are_no_families_but_the_fields_and_those_listed_as_ours() -> None:
    stems = {spec.stem for spec in (*HISTOGRAMS, *COUNTERS, *GAUGES)}
    assert stems == {row[0] for row in REFERENCE} | OURS


def _labels(collected: Metric) -> set[str]:
    return {name for sample in collected.samples for name in sample.labels} - {"le"}
