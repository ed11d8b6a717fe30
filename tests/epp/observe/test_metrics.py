from dataclasses import replace

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from turnout.epp.observe.metrics import FIELD_PREFIX, Metrics
from turnout.epp.requests.observer import RequestObserver
from turnout.framework import (
    Completion,
    Endpoint,
    ExtensionPoint,
    InferenceRequest,
    PluginError,
    Refusal,
    RefusalKind,
    Termination,
)
from turnout.framework.testing import make_endpoint, make_request

ENDPOINT = Endpoint("prod/a", "10.0.0.1", 8000)


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def of_model(model: str, target: str = "", fairness_id: str = "default-flow", priority: str = "0") -> dict[str, str]:
    names = {"model_name": model, "target_model_name": target or model}
    return {**names, "fairness_id": fairness_id, "priority": priority}


def dispatch(metrics: Metrics, request: InferenceRequest) -> None:
    metrics.dispatched(request, ENDPOINT, 0.001)


def test_metrics_observe_requests() -> None:
    observer: RequestObserver = Metrics()
    observer.dispatched(make_request(), ENDPOINT, 0.001)


@pytest.mark.parametrize(
    "prefix", [pytest.param("turnout_", id="our own"), pytest.param(FIELD_PREFIX, id="the field's")]
)
def test_the_prefix_stands_before_every_name(prefix: str) -> None:
    metrics = Metrics(prefix)
    dispatch(metrics, make_request(model="m"))
    assert value(metrics, f"{prefix}request_total", **of_model("m")) == 1
    assert all(family.name.startswith(prefix) for family in metrics.registry.collect())


def test_the_default_prefix_is_ours() -> None:
    assert Metrics().prefix == "turnout_"


def test_requests_are_counted_by_model_target_fairness_id_and_priority() -> None:
    metrics = Metrics()
    request = replace(make_request(model="m", fairness_id="team-a", priority=-5), target_model="m-v2")
    dispatch(metrics, request)
    dispatch(metrics, request)
    dispatch(metrics, make_request(model="m"))
    assert value(metrics, "turnout_request_total", **of_model("m", "m-v2", "team-a", "-5")) == 2
    assert value(metrics, "turnout_request_total", **of_model("m")) == 1


def test_a_finished_request_leaves_the_gauge_it_was_dispatched_under() -> None:
    metrics = Metrics()
    dispatch(metrics, make_request(model="m"))
    metrics.finished(make_request(model="m"), Completion(ENDPOINT, Termination.NATURAL, 200))
    assert value(metrics, "turnout_request_running", **of_model("m")) == 0


def test_a_refused_request_is_an_error_under_its_code() -> None:
    metrics = Metrics()
    metrics.refused("r1", "m", Refusal(RefusalKind.UNAVAILABLE, "no endpoints"))
    labels = {"model_name": "m", "target_model_name": "", "fairness_id": "", "priority": "0"}
    assert value(metrics, "turnout_request_error_total", **labels, error_code="ServiceUnavailable") == 1
    assert value(metrics, "turnout_request_total", **labels) == 0


def test_scheduling_attempts_are_counted_by_outcome_and_endpoint() -> None:
    metrics = Metrics()
    metrics.scheduled(make_request(model="m"), ENDPOINT, 0.0001)
    metrics.scheduled(make_request(model="m"), ENDPOINT, 0.0003)
    metrics.scheduling_failed(make_request(model="m"), 0.5)
    chosen = {"endpoint_name": "a", "namespace": "prod", "port": "8000"}
    nowhere = {"endpoint_name": "", "namespace": "", "port": ""}
    name = "turnout_scheduler_attempts_total"
    assert value(metrics, name, status="success", target_model_name="m", **chosen) == 2
    assert value(metrics, name, status="failure", target_model_name="m", **nowhere) == 1
    assert value(metrics, "turnout_scheduler_e2e_duration_seconds_bucket", le="0.0001") == 1
    assert value(metrics, "turnout_scheduler_e2e_duration_seconds_count") == 3


def test_the_time_of_a_plugin_has_its_name_type_and_extension_point() -> None:
    metrics = Metrics()
    metrics.plugin_ran("my-queue", "queue-scorer", "Scorer", 0.25)
    metrics.plugin_timer("my-queue", "queue-scorer", "Scorer")(0.5)
    labels = {"plugin_name": "my-queue", "plugin_type": "queue-scorer", "extension_point": "Scorer"}
    assert value(metrics, "turnout_plugin_duration_seconds_sum", **labels) == 0.75


def test_failures_of_plugins_are_counted() -> None:
    metrics = Metrics()
    metrics.plugin_failed("r1", PluginError("p", ExtensionPoint.SCORER, "it raised"))
    assert value(metrics, "turnout_plugin_errors_total", extension_point="Scorer", plugin_name="p") == 1


def test_info_says_what_is_running() -> None:
    metrics = Metrics(commit="abc")
    assert value(metrics, "turnout_info", commit="abc", build_ref="0.1.0") == 1


def test_the_thousand_and_first_model_is_counted_as_other() -> None:
    metrics = Metrics(max_label_sets=5000)
    for number in range(1200):
        dispatch(metrics, make_request(model=f"m{number}"))
    assert value(metrics, "turnout_request_total", **of_model("m999")) == 1
    assert value(metrics, "turnout_request_total", **of_model("m1000")) is None
    assert value(metrics, "turnout_request_total", **of_model("other")) == 200
    dispatch(metrics, make_request(model="m7"))
    assert value(metrics, "turnout_request_total", **of_model("m7")) == 2


def test_requested_and_target_models_share_one_bound() -> None:
    metrics = Metrics(max_label_sets=5000)
    for number in range(500):
        dispatch(metrics, replace(make_request(model=f"m{number}"), target_model=f"t{number}"))
    dispatch(metrics, make_request(model="one-too-many"))
    assert value(metrics, "turnout_request_total", **of_model("other")) == 1


def test_the_thousand_and_first_fairness_id_is_counted_as_other() -> None:
    metrics = Metrics(max_label_sets=5000)
    for number in range(1001):
        dispatch(metrics, make_request(model="m", fairness_id=f"f{number}"))
    assert value(metrics, "turnout_request_total", **of_model("m", fairness_id="f999")) == 1
    assert value(metrics, "turnout_request_total", **of_model("m", fairness_id="other")) == 1


def test_combinations_of_labels_are_bounded_and_what_is_beyond_balances() -> None:
    metrics = Metrics(max_label_sets=2)
    requests = [make_request(model=model, fairness_id=flow) for model in "ab" for flow in "xy"]
    for request in requests:
        dispatch(metrics, request)
    assert value(metrics, "turnout_request_total", **of_model("a", fairness_id="y")) == 1
    assert value(metrics, "turnout_request_total", **of_model("other", fairness_id="other")) == 2
    for request in requests:
        metrics.finished(request, Completion(ENDPOINT, Termination.CLIENT_DISCONNECT))
    assert value(metrics, "turnout_request_running", **of_model("a", fairness_id="y")) == 0
    assert value(metrics, "turnout_request_running", **of_model("other", fairness_id="other")) == 0


def test_the_default_bound_of_combinations_is_a_thousand() -> None:
    metrics = Metrics()
    for number in range(1001):
        dispatch(metrics, make_request(model="m", fairness_id=f"f{number % 500}", priority=number % 3))
    sets = [s for f in metrics.registry.collect() for s in f.samples if s.name == "turnout_request_total"]
    assert len(sets) == 1000 + 1


def test_scheduling_attempts_are_bounded_when_endpoints_come_and_go() -> None:
    metrics = Metrics()
    for number in range(10_002):
        metrics.scheduled(make_request(model="m"), Endpoint(f"prod/e{number}", "10.0.0.1", 8000), 0.0001)
    other = {"endpoint_name": "other", "namespace": "other", "port": "other"}
    attempts = {"status": "success", "target_model_name": "other", **other}
    assert value(metrics, "turnout_scheduler_attempts_total", **attempts) == 2


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"m\xff\xfe".decode("utf-8", "surrogateescape"), id="bytes that are no UTF-8"),
        pytest.param("m\ud800", id="a lone surrogate"),
        pytest.param('m"} 1\nforged{a="', id="an attempt to forge a sample"),
        pytest.param("m\r\n\x00\u2028", id="control characters"),
        pytest.param("m\\", id="a backslash at the end"),
        pytest.param("m" * 100_000, id="a very long name"),
    ],
)
def test_whatever_a_client_sends_leaves_a_page_that_can_be_read(sent: str) -> None:
    metrics = Metrics()
    request = make_request(model=sent, fairness_id=sent)
    metrics.scheduled(request, make_endpoint(), 0.001)
    dispatch(metrics, request)
    metrics.finished(request, Completion(ENDPOINT, Termination.NATURAL, 200))
    metrics.refused(sent, sent, Refusal(RefusalKind.BAD_REQUEST, sent))
    page = generate_latest(metrics.registry).decode()
    families = {family.name: family for family in text_string_to_metric_families(page)}
    (sample,) = [s for s in families["turnout_request_running"].samples if s.labels["fairness_id"]]
    assert sample.labels["model_name"].startswith("m")
    assert len(sample.labels["model_name"]) <= 256
    assert sample.value == 0
