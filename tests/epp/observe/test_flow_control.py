from dataclasses import replace
from types import MappingProxyType

from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

from epp.flowcontrol.fakes import band, request, settings
from turnout.epp.flowcontrol.limits import Limits
from turnout.epp.flowcontrol.outcomes import Outcome
from turnout.epp.flowcontrol.saturation import Saturation
from turnout.epp.observe.families import Families
from turnout.epp.observe.flow_control import CapacityGauges, FlowMetrics
from turnout.epp.observe.labels import DistinctValues


def samples(source: CollectorRegistry | Collector) -> dict[str, float]:
    """``name{values}`` -> value, without what is created or bucketed."""
    found = {}
    for family in source.collect():
        for sample in family.samples:
            if not sample.name.endswith(("_bucket", "_created")):
                found[f"{sample.name}{{{','.join(sample.labels.values())}}}"] = sample.value
    return found


def metrics(registry: CollectorRegistry, most: int = 10) -> FlowMetrics:
    return FlowMetrics(Families("t_", registry), "pool", DistinctValues(5).fold, DistinctValues(3).fold, most)


def test_a_wait_is_counted_from_its_begin_to_its_end() -> None:
    registry = CollectorRegistry()
    flow = metrics(registry)
    sent = request("r", 5, "tenant", size=100)
    flow.entered(sent, 0.001)
    assert samples(registry)["t_flow_control_queue_size{tenant,5,pool,m,m}"] == 1
    assert samples(registry)["t_flow_control_queue_bytes{tenant,5,pool,m,m}"] == 100
    flow.moved(sent, replace(sent, priority=9))
    assert samples(registry)["t_flow_control_queue_size{tenant,5,pool,m,m}"] == 0
    assert samples(registry)["t_flow_control_queue_size{tenant,9,pool,m,m}"] == 1
    flow.left(replace(sent, priority=9), Outcome.DISPATCHED, 2.5, was_queued=True)
    flow.left(sent, Outcome.REJECTED_CAPACITY, 0.0, was_queued=False)
    flow.cycle(0.0001)
    flow.saturated(Saturation(0.5, 0.75))
    found = samples(registry)
    assert found["t_flow_control_queue_bytes{tenant,9,pool,m,m}"] == 0
    assert found["t_flow_control_request_queue_duration_seconds_sum{tenant,9,Dispatched,pool,m,m}"] == 2.5
    assert found["t_flow_control_requests_total{RejectedCapacity,5,pool}"] == 1
    assert found["t_flow_control_dispatch_cycle_duration_seconds_count{}"] == 1
    saturation = [
        found[f"t_flow_control_pool_saturation{{pool,{stage}}}"] for stage in ("effective", "decode", "prefill")
    ]
    assert saturation == [0.75, 0.5, 0.75]


def test_tenants_by_the_thousand_make_few_series() -> None:
    registry = CollectorRegistry()
    flow = metrics(registry, most=4)
    everybody = [request("r", 0, f"tenant{number}", model=f"m{number}") for number in range(1000)]
    for sent in everybody:
        flow.entered(sent, 0.0)
    sizes = {name: value for name, value in samples(registry).items() if "queue_size" in name}
    assert len(sizes) <= 5
    assert sum(sizes.values()) == 1000
    for sent in everybody:
        flow.left(sent, Outcome.DISPATCHED, 1.0, was_queued=True)
    assert {value for name, value in samples(registry).items() if "queue_size" in name} == {0}


def test_capacity_is_shown_against_limits_that_are_set() -> None:
    limits = Limits(settings(bands=MappingProxyType({5: band(max_requests=4, max_bytes=1000)}), max_requests=10))
    limits.add(5, 100)
    limits.defer(5)
    assert samples(CapacityGauges("t_", "pool", lambda: limits)) == {
        "t_flow_control_global_capacity_utilization_requests{pool}": 0.1,
        "t_flow_control_capacity_utilization_requests{5,pool}": 0.25,
        "t_flow_control_capacity_utilization_bytes{5,pool}": 0.1,
        "t_flow_control_deferred_requests{5,pool}": 1,
    }
    assert samples(CapacityGauges("t_", "pool", lambda: None)) == {}
