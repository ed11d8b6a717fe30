from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from turnout.epp.datalayer.store import EndpointStatus
from turnout.epp.observe.metrics import Metrics
from turnout.framework import Endpoint, EndpointMetrics
from turnout.framework.testing import make_endpoint


@dataclass
class FakePool:
    endpoints: Sequence[Endpoint] = ()
    out_of_service: frozenset[str] = frozenset()

    def snapshot(self) -> Sequence[Endpoint]:
        return self.endpoints

    def statuses(self) -> Sequence[EndpointStatus]:
        names = [endpoint.name for endpoint in self.endpoints]
        return [EndpointStatus(name, name not in self.out_of_service, "") for name in names]


THREE = [
    make_endpoint("a", waiting=1, running=10, kv_cache_utilization=0.2),
    make_endpoint("b", waiting=5, running=30, kv_cache_utilization=0.6, in_flight=4),
    make_endpoint("c", waiting=99, running=99, kv_cache_utilization=1.0),
]


def watched(pool: FakePool) -> Metrics:
    metrics = Metrics(pool_name="llm")
    metrics.watch_pool(pool)
    return metrics


@pytest.mark.parametrize(
    ("stem", "of_two", "of_none"),
    [
        pytest.param("average_queue_size", 3, 0, id="mean waiting queue size"),
        pytest.param("std_dev_queue_size", 2, 0, id="deviation of the waiting queue size"),
        pytest.param("average_running_requests", 20, 0, id="mean running requests"),
        pytest.param("std_dev_running_requests", 10, 0, id="deviation of running requests"),
        pytest.param("average_kv_cache_utilization", 0.4, 0, id="mean KV-cache utilization"),
        pytest.param("std_dev_kv_cache_utilization", 0.2, 0, id="deviation of the KV-cache utilization"),
        pytest.param("ready_endpoints", 2, 0, id="endpoints in service"),
    ],
)
def test_gauges_of_the_pool_are_over_the_endpoints_in_service(stem: str, of_two: float, of_none: float) -> None:
    pool = FakePool(THREE, frozenset({"default/c"}))
    registry = watched(pool).pool_registry
    assert registry.get_sample_value(f"turnout_{stem}", {"name": "llm"}) == pytest.approx(of_two)
    pool.endpoints = ()
    assert registry.get_sample_value(f"turnout_{stem}", {"name": "llm"}) == of_none


def test_every_endpoint_has_its_queue_size_and_requests_in_flight_even_out_of_service() -> None:
    registry = watched(FakePool(THREE, frozenset({"default/c"}))).pool_registry
    queue = {"name": "llm", "model_server_endpoint": "c"}
    assert registry.get_sample_value("turnout_per_endpoint_queue_size", queue) == 99
    in_flight = {"endpoint_name": "b", "namespace": "default"}
    assert registry.get_sample_value("turnout_inflight_requests", in_flight) == 4


def test_endpoints_whose_engines_report_transfers_of_kv_cache_have_their_number_and_time() -> None:
    seen = {"kv_transfers": 1.0, "kv_transfer_seconds": 1.0}
    metrics = EndpointMetrics(kv_transfers=3.0, kv_transfer_seconds=0.5, observed_at=seen)
    registry = watched(FakePool([make_endpoint("a"), make_endpoint("b", metrics=metrics)])).pool_registry
    reporting, silent = ({"endpoint_name": name, "namespace": "default"} for name in ("b", "a"))
    assert registry.get_sample_value("turnout_kv_transfers_total", reporting) == 3.0
    assert registry.get_sample_value("turnout_kv_transfer_seconds_total", reporting) == 0.5
    assert registry.get_sample_value("turnout_kv_transfers_total", silent) is None


def test_a_pool_without_transfers_has_no_families_of_them() -> None:
    names = {family.name for family in watched(FakePool(THREE)).pool_registry.collect()}
    assert not any("kv_transfer" in name for name in names)


def test_the_pool_is_read_at_the_time_of_the_scrape() -> None:
    pool = FakePool()
    registry = watched(pool).pool_registry
    pool.endpoints = [make_endpoint("late", waiting=7)]
    queue = {"name": "llm", "model_server_endpoint": "late"}
    assert registry.get_sample_value("turnout_per_endpoint_queue_size", queue) == 7


def test_endpoints_of_two_namespaces_with_one_name_are_told_apart() -> None:
    twins = [
        Endpoint("x/a", "10.0.0.1", 80, metrics=EndpointMetrics(waiting_queue_size=1)),
        Endpoint("y/a", "10.0.0.2", 80, metrics=EndpointMetrics(waiting_queue_size=2)),
    ]
    registry = watched(FakePool(twins)).pool_registry
    for shown, waiting in (("x/a", 1), ("y/a", 2)):
        queue = {"name": "llm", "model_server_endpoint": shown}
        assert registry.get_sample_value("turnout_per_endpoint_queue_size", queue) == waiting
