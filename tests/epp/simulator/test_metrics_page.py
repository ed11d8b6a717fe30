from collections import defaultdict
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from turnout.epp.simulator.engine import Engine, EngineConfig
from turnout.epp.simulator.measurements import TransferCounters, TransferSnapshot
from turnout.epp.simulator.metrics_page import AdapterSeries, MetricsPage

SAMPLE = (Path(__file__).parent / "samples" / "vllm-0.32.0-metrics.txt").read_text()


def page() -> str:
    config = EngineConfig(model="tiny")
    adapters = AdapterSeries()
    adapters.record(["a", "b"], [], 1_000.0)
    return MetricsPage(config, Engine(config).snapshot, adapters, 999.0).render().decode()


def families(text: str) -> dict[str, str]:
    return {family.name: family.type for family in text_string_to_metric_families(text)}


def series(text: str) -> dict[str, set[frozenset[str]]]:
    """Return the label names, and for bounds and reasons the values, of each sample name."""
    found: dict[str, set[frozenset[str]]] = defaultdict(set)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            fixed = {f"{name}={sample.labels[name]}" for name in ("le", "reason", "engine") if name in sample.labels}
            found[sample.name].add(frozenset({*sample.labels, *fixed}))
    return found


def test_every_family_of_the_page_exists_in_vllm_with_the_same_type() -> None:
    sample = families(SAMPLE)
    for name, kind in families(page()).items():
        assert sample[name] == kind


def test_all_wanted_families_of_vllm_are_on_the_page() -> None:
    missing = set(families(SAMPLE)) - set(families(page()))
    # prometheus_client cannot give a creation time to a ready-made histogram.
    assert {name for name in missing if not name.endswith("_seconds_created")} == set()


@pytest.mark.parametrize("name", sorted(set(series(page())) - {"vllm:cache_config_info", "vllm:request_success_total"}))
def test_the_series_have_vllms_labels_and_bounds(name: str) -> None:
    if not name.endswith("_created"):
        assert series(page())[name] == series(SAMPLE)[name]


def test_the_cache_configuration_tells_block_size_and_count() -> None:
    assert series(page())["vllm:cache_config_info"] <= {
        frozenset({"engine=0", *labels})
        for labels in [
            ["block_size", "cache_dtype", "enable_prefix_caching", "engine", "kv_cache_size_tokens", "num_gpu_blocks"]
        ]
    }
    assert 'block_size="16"' in page()
    assert 'num_gpu_blocks="26500"' in page()


def test_adapter_series_stay_and_carry_the_time_when_they_were_last_true() -> None:
    adapters = AdapterSeries()
    adapters.record(["a"], [], 1.0)
    adapters.record([], ["a"], 2.0)
    adapters.record(["a"], [], 3.0)
    assert list(adapters) == [("a", "", 3.0), ("", "a", 2.0)]


def test_no_more_than_1024_adapter_series_are_kept_and_the_oldest_goes_first() -> None:
    adapters = AdapterSeries()
    for number in range(1_025):
        adapters.record([str(number)], [], float(number))
    assert len(list(adapters)) == 1_024
    assert next(iter(adapters)) == ("1", "", 1.0)


def page_with(transfers: TransferSnapshot | None) -> str:
    config = EngineConfig(model="tiny")
    return MetricsPage(config, Engine(config).snapshot, None, 999.0, lambda: transfers).render().decode()


def test_an_engine_without_a_kv_connector_has_no_families_of_one() -> None:
    assert "nixl" not in page_with(None)


def test_transfers_are_told_as_vllms_nixl_connector_tells_them() -> None:
    counters = TransferCounters()
    counters.transferred(2**21, 0.004)
    counters.failed()
    lines = page_with(counters.snapshot()).splitlines()
    assert "# TYPE vllm:nixl_xfer_time_seconds histogram" in lines
    assert 'vllm:nixl_xfer_time_seconds_bucket{engine="0",le="0.005",model_name="tiny"} 1.0' in lines
    assert 'vllm:nixl_xfer_time_seconds_sum{engine="0",model_name="tiny"} 0.004' in lines
    assert 'vllm:nixl_bytes_transferred_bucket{engine="0",le="524288.0",model_name="tiny"} 0.0' in lines
    assert 'vllm:nixl_bytes_transferred_bucket{engine="0",le="2.097152e+06",model_name="tiny"} 1.0' in lines
    assert 'vllm:nixl_num_failed_transfers_total{engine="0",model_name="tiny"} 1.0' in lines
