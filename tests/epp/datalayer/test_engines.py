from pathlib import Path

import pytest

from turnout.epp.datalayer.engines import CoreMetricsExtractor, CustomMetric, EngineConfig
from turnout.framework import EndpointMetrics
from turnout.framework.testing import make_endpoint

SAMPLES = Path(__file__).resolve().parent / "samples"
ENGINE_LABEL = "llm-d.ai/engine-type"


def extracted(page: str, engine: str = "vllm", known: EndpointMetrics | None = None) -> EndpointMetrics:
    endpoint = make_endpoint(labels={ENGINE_LABEL: engine}, metrics=known)
    return CoreMetricsExtractor().extract(page.encode(), endpoint, 7.0)


def test_reads_a_captured_page_of_a_loaded_vllm() -> None:
    page = (SAMPLES / "vllm-0.32.0-cpu-metrics-loaded-lora.txt").read_text()
    fields = (
        "waiting_queue_size",
        "running_requests",
        "kv_cache_utilization",
        "active_adapters",
        "waiting_adapters",
        "max_active_adapters",
        "cache_block_size",
        "cache_num_blocks",
        "prefix_cache_queries",
        "prefix_cache_hits",
    )
    assert extracted(page) == EndpointMetrics(
        waiting_queue_size=16,
        running_requests=8,
        kv_cache_utilization=0.5333333333333333,
        active_adapters=frozenset({"a", "b"}),
        waiting_adapters=frozenset({"a", "b"}),
        max_active_adapters=2,
        cache_block_size=32,
        cache_num_blocks=256,
        prefix_cache_queries=2232.0,
        prefix_cache_hits=192.0,
        observed_at=dict.fromkeys(fields, 7.0),
    )


def test_prefix_cache_totals_are_summed_over_ranks_and_read_under_their_former_names() -> None:
    ranks = "\n".join(
        f'vllm:prefix_cache_{what}_total{{engine="{rank}",model_name="m"}} {value}'
        for what, value in (("queries", 5e9), ("hits", 2.5e9))
        for rank in (0, 1)
    )
    metrics = extracted(f"{ranks}\n")
    assert (metrics.prefix_cache_queries, metrics.prefix_cache_hits) == (1e10, 5e9)
    former = extracted("vllm:gpu_prefix_cache_queries_total 8\nvllm:gpu_prefix_cache_hits_total 4\n")
    assert (former.prefix_cache_queries, former.prefix_cache_hits) == (8.0, 4.0)
    broken = extracted("vllm:prefix_cache_queries_total NaN\nvllm:prefix_cache_hits_total -1\n", known=metrics)
    assert (broken.prefix_cache_queries, broken.prefix_cache_hits) == (1e10, 5e9)


TRANSFERS = """
vllm:nixl_xfer_time_seconds_bucket{engine="0",le="0.005",model_name="m"} 1.0
vllm:nixl_xfer_time_seconds_count{engine="0",model_name="m"} 3.0
vllm:nixl_xfer_time_seconds_sum{engine="0",model_name="m"} 0.25
vllm:nixl_xfer_time_seconds_count{engine="1",model_name="m"} 1.0
vllm:nixl_xfer_time_seconds_sum{engine="1",model_name="m"} 0.5
sglang:kv_transfer_latency_ms_count{model_name="m"} 4.0
sglang:kv_transfer_latency_ms_sum{model_name="m"} 750.0
"""


@pytest.mark.parametrize("engine", [pytest.param("vllm", id="vLLM, seconds"), pytest.param("sglang", id="SGLang, ms")])
def test_transfers_between_engines_are_read_where_that_is_asked_for(engine: str) -> None:
    endpoint = make_endpoint(labels={ENGINE_LABEL: engine})
    metrics = CoreMetricsExtractor(kv_transfers=True).extract(TRANSFERS.encode(), endpoint, 7.0)
    assert (metrics.kv_transfers, metrics.kv_transfer_seconds) == (4.0, 0.75)
    assert metrics.observed_at == {"kv_transfers": 7.0, "kv_transfer_seconds": 7.0}


def test_transfers_are_not_looked_for_otherwise() -> None:
    metrics = extracted(TRANSFERS)
    assert (metrics.kv_transfers, metrics.kv_transfer_seconds, metrics.observed_at) == (0.0, 0.0, {})


TRITON = """
nv_trt_llm_request_metrics{model="m",request_type="waiting",version="1"} 3
nv_trt_llm_request_metrics{model="m",request_type="scheduled",version="1"} 5
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="fraction",model="m"} 0.25
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="tokens_per",model="m"} 64
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="max",model="m"} 1000
"""
SGLANG = """
sglang:num_queue_reqs{model_name="m"} 3.0
sglang:num_running_reqs{model_name="m"} 5.0
sglang:token_usage{model_name="m"} 0.25
sglang:cache_config_info{page_size="64",num_pages="1000"} 1.0
"""
TRTLLM = """
trtllm_num_requests_waiting 3
trtllm_num_requests_running 5
trtllm_kv_cache_utilization 0.25
trtllm_kv_cache_tokens_per_block 64
trtllm_kv_cache_max_blocks 1000
"""


@pytest.mark.parametrize(
    ("engine", "page"),
    [
        pytest.param("sglang", SGLANG, id="SGLang"),
        pytest.param("trtllm-serve", TRTLLM, id="TensorRT-LLM's own server"),
        pytest.param("triton-tensorrt-llm", TRITON, id="TensorRT-LLM in Triton"),
    ],
)
def test_reads_every_engine(engine: str, page: str) -> None:
    metrics = extracted(page, engine)
    assert (metrics.waiting_queue_size, metrics.running_requests, metrics.kv_cache_utilization) == (3, 5, 0.25)
    assert (metrics.cache_block_size, metrics.cache_num_blocks) == (64, 1000)


def test_reads_plain_triton() -> None:
    metrics = extracted('nv_inference_pending_request_count{model="a"} 2\nnv_inference_exec_count 9\n', "triton")
    assert (metrics.waiting_queue_size, metrics.running_requests) == (2, 9)
    assert set(metrics.observed_at) == {"waiting_queue_size", "running_requests"}


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param({ENGINE_LABEL: "sglang"}, id="label"),
        pytest.param({"inference.networking.k8s.io/engine-type": "sglang"}, id="former label"),
        pytest.param(
            {ENGINE_LABEL: "sglang", "inference.networking.k8s.io/engine-type": "vllm"}, id="the label beats the former"
        ),
    ],
)
def test_a_label_names_the_engine(labels: dict[str, str]) -> None:
    metrics = CoreMetricsExtractor().extract(SGLANG.encode(), make_endpoint(labels=labels), 7.0)
    assert metrics.waiting_queue_size == 3


@pytest.mark.parametrize("labels", [{}, {ENGINE_LABEL: "unheard-of"}], ids=["no label", "unknown engine"])
def test_without_a_known_label_it_is_the_default_engine(labels: dict[str, str]) -> None:
    extractor = CoreMetricsExtractor(default_engine="sglang")
    assert extractor.extract(SGLANG.encode(), make_endpoint(labels=labels), 7.0).waiting_queue_size == 3


def test_counts_are_summed_over_ranks_and_utilization_is_that_of_the_fullest() -> None:
    page = """
vllm:num_requests_waiting{engine="0"} 1.0
vllm:num_requests_waiting{engine="1"} 4.0
vllm:num_requests_running{engine="0"} 2.0
vllm:num_requests_running{engine="1"} 8.0
vllm:kv_cache_usage_perc{engine="0"} 0.75
vllm:kv_cache_usage_perc{engine="1"} 0.5
vllm:cache_config_info{engine="0",block_size="16",num_gpu_blocks="100"} 1.0
vllm:cache_config_info{engine="1",block_size="16",num_gpu_blocks="200"} 1.0
"""
    metrics = extracted(page)
    assert (metrics.waiting_queue_size, metrics.running_requests, metrics.kv_cache_utilization) == (5, 10, 0.75)
    assert (metrics.cache_block_size, metrics.cache_num_blocks) == (16, 300)


@pytest.mark.parametrize("value", ["NaN", "-1", "+Inf", "-Inf", "1e12"])
@pytest.mark.parametrize(
    "family", ["vllm:num_requests_waiting", "vllm:num_requests_running", "vllm:kv_cache_usage_perc"]
)
def test_a_value_no_engine_means_leaves_the_last_one_and_its_age(family: str, value: str) -> None:
    known = EndpointMetrics(
        waiting_queue_size=1, running_requests=2, kv_cache_utilization=0.5, observed_at={"running_requests": 3.0}
    )
    assert extracted(f"{family} {value}\n", known=known) == known


@pytest.mark.parametrize(
    ("value", "utilization"),
    [
        pytest.param("1.02", 1.0, id="a little over full is full"),
        pytest.param("1.0", 1.0, id="full"),
        pytest.param("85.0", 0.5, id="percent is not taken for a fraction"),
    ],
)
def test_utilization_over_one(value: str, utilization: float) -> None:
    known = EndpointMetrics(kv_cache_utilization=0.5)
    assert extracted(f"vllm:kv_cache_usage_perc {value}\n", known=known).kv_cache_utilization == utilization


def test_the_former_name_of_vllms_utilization_counts_only_without_the_current_one() -> None:
    former = "vllm:gpu_cache_usage_perc 0.25\n"
    assert extracted(former).kv_cache_utilization == 0.25
    assert extracted(f"{former}vllm:kv_cache_usage_perc 0.5\n").kv_cache_utilization == 0.5


def test_the_newest_series_tells_the_adapters() -> None:
    page = """
vllm:lora_requests_info{max_lora="4",running_lora_adapters="a, b",waiting_lora_adapters="c"} 20.0
vllm:lora_requests_info{max_lora="4",running_lora_adapters="x",waiting_lora_adapters=""} 10.0
vllm:lora_requests_info{max_lora="4",running_lora_adapters="y",waiting_lora_adapters=""} NaN
"""
    metrics = extracted(page)
    assert (metrics.active_adapters, metrics.waiting_adapters) == (frozenset({"a", "b"}), frozenset({"c"}))
    assert metrics.max_active_adapters == 4


def test_a_family_that_is_absent_keeps_its_value_and_age() -> None:
    first = extracted("vllm:num_requests_waiting 3\nvllm:num_requests_running 5\n")
    endpoint = make_endpoint(metrics=first)
    second = CoreMetricsExtractor().extract(b"vllm:num_requests_running 6\n", endpoint, 9.0)
    assert (second.waiting_queue_size, second.running_requests) == (3, 6)
    assert (second.age("waiting_queue_size", 10.0), second.age("running_requests", 10.0)) == (3.0, 1.0)


def test_labels_that_are_not_numbers_yet_are_missing() -> None:
    metrics = extracted('vllm:cache_config_info{block_size="16",num_gpu_blocks="None"} 1.0\n')
    assert (metrics.cache_block_size, metrics.cache_num_blocks) == (16, 0)
    assert set(metrics.observed_at) == {"cache_block_size"}


def test_an_engine_config_replaces_the_built_in_one_and_has_custom_metrics() -> None:
    config = EngineConfig(
        "vllm",
        queued_requests_spec="my_queue{kind=all}",
        cache_info_spec="my_info",
        cache_block_size_label_name="size",
        cache_num_blocks_label_name="blocks",
        custom_metrics=(CustomMetric("power", "watts{gpu=0}"), CustomMetric("absent", "volts")),
    )
    page = b"""
my_queue{kind="some"} 1
my_queue{kind="all"} 2
my_info{size="8",blocks="50"} 1
watts{gpu="1"} 100
watts{gpu="0"} 250.5
vllm:num_requests_running 9
"""
    metrics = CoreMetricsExtractor(engine_configs=[config]).extract(page, make_endpoint(), 7.0)
    assert (metrics.waiting_queue_size, metrics.running_requests) == (2, 0)
    assert (metrics.cache_block_size, metrics.cache_num_blocks) == (8, 50)
    assert metrics.custom == {"power": 250.5}
    assert metrics.age("custom.power", 8.0) == 1.0


@pytest.mark.parametrize(
    ("configs", "default", "problem"),
    [
        pytest.param([EngineConfig("")], "vllm", r"engine_configs\[0\].name", id="no name"),
        pytest.param([EngineConfig("default")], "vllm", "reserved", id="reserved name"),
        pytest.param([EngineConfig("a"), EngineConfig("a", "m")], "vllm", "given twice", id="name twice"),
        pytest.param([], "mine", "default_engine: unknown engine 'mine'", id="unknown default"),
        pytest.param([EngineConfig("a", kv_usage_spec="{")], "vllm", "engine 'a': kv_usage_spec", id="bad notation"),
    ],
)
def test_refuses_wrong_parameters(configs: list[EngineConfig], default: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        CoreMetricsExtractor(default_engine=default, engine_configs=configs)


def test_a_page_that_is_no_exposition_is_refused() -> None:
    with pytest.raises(ValueError, match="not an exposition"):
        extracted("<html></html>")
