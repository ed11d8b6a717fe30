"""What each kind of engine calls its metrics, and how a page of them becomes ``EndpointMetrics``.

An engine with several ranks behind one port (vLLM's and SGLang's data parallelism) reports one series for each.
Counts are summed over the series that match, because the endpoint's queue is all of theirs. KV-cache
utilization is the largest of them, because the fullest rank is the one that preempts. Blocks are summed, the
block size is the largest. Of the LoRA series the newest counts: vLLM leaves one for each set of adapters that
it ever ran, with the time as its value.

A value that no healthy engine reports (NaN, negative, infinite, beyond ``MAX_COUNT``) is treated as missing:
the endpoint keeps the last good value, whose age goes on growing.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from turnout.epp.datalayer.exposition import Sample, read_samples
from turnout.epp.datalayer.metric_spec import MetricSpec, parse_metric_spec
from turnout.framework import Endpoint, EndpointMetrics

LEGACY_ENGINE_LABEL = "inference.networking.k8s.io/engine-type"
RESERVED_ENGINE_NAME = "default"

MAX_COUNT = 1e9
"""Requests, blocks or tokens per block; more is taken for a defect of the page."""

MAX_TOTAL = 1e15
"""Tokens, transfers or milliseconds since an engine's start; a float counts to here without a gap."""

# SGLang counts tokens that are about to be evicted, so its usage may pass 1 by a little. Much more than 1 is
# another unit (percent) and not a fraction at all.
_MAX_FRACTION = 1.5

# What vLLM called these before 0.9; only read where the current name is absent.
_FORMER_NAMES = {
    "vllm:kv_cache_usage_perc": "vllm:gpu_cache_usage_perc",
    "vllm:prefix_cache_queries_total": "vllm:gpu_prefix_cache_queries_total",
    "vllm:prefix_cache_hits_total": "vllm:gpu_prefix_cache_hits_total",
}


@dataclass(frozen=True, slots=True)
class CustomMetric:
    """A scalar to keep as ``EndpointMetrics.custom[attribute_key]``; of several series the first counts.

    Its age is ``age("custom." + attribute_key, now)``.
    """

    attribute_key: str
    metric_spec: str


TimeUnit: TypeAlias = Literal["seconds", "milliseconds"]


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """Where an engine's page has what. A spec is ``name`` or ``name{label=value,...}``; empty means not reported.

    Block size and number of blocks are read from labels of ``cache_info_spec``, or else as values. Prefix-cache
    queries and hits are counters in tokens. Transfers of KV cache are a counter, and the time that they took together
    is one in ``kv_transfer_time_unit``.
    """

    name: str
    queued_requests_spec: str = ""
    running_requests_spec: str = ""
    kv_usage_spec: str = ""
    lora_spec: str = ""
    cache_info_spec: str = ""
    cache_block_size_label_name: str = "block_size"
    cache_num_blocks_label_name: str = "num_gpu_blocks"
    cache_block_size_spec: str = ""
    cache_num_blocks_spec: str = ""
    prefix_cache_queries_spec: str = ""
    prefix_cache_hits_spec: str = ""
    kv_transfers_spec: str = ""
    kv_transfer_time_spec: str = ""
    kv_transfer_time_unit: TimeUnit = "seconds"
    custom_metrics: tuple[CustomMetric, ...] = ()


BUILT_IN_ENGINES = (
    EngineConfig(
        "vllm",
        queued_requests_spec="vllm:num_requests_waiting",
        running_requests_spec="vllm:num_requests_running",
        kv_usage_spec="vllm:kv_cache_usage_perc",
        lora_spec="vllm:lora_requests_info",
        cache_info_spec="vllm:cache_config_info",
        prefix_cache_queries_spec="vllm:prefix_cache_queries_total",
        prefix_cache_hits_spec="vllm:prefix_cache_hits_total",
        kv_transfers_spec="vllm:nixl_xfer_time_seconds_count",
        kv_transfer_time_spec="vllm:nixl_xfer_time_seconds_sum",
    ),
    EngineConfig(
        "sglang",
        queued_requests_spec="sglang:num_queue_reqs",
        running_requests_spec="sglang:num_running_reqs",
        kv_usage_spec="sglang:token_usage",
        cache_info_spec="sglang:cache_config_info",
        cache_block_size_label_name="page_size",
        cache_num_blocks_label_name="num_pages",
        kv_transfers_spec="sglang:kv_transfer_latency_ms_count",
        kv_transfer_time_spec="sglang:kv_transfer_latency_ms_sum",
        kv_transfer_time_unit="milliseconds",
    ),
    EngineConfig(
        "trtllm-serve",
        queued_requests_spec="trtllm_num_requests_waiting",
        running_requests_spec="trtllm_num_requests_running",
        kv_usage_spec="trtllm_kv_cache_utilization",
        cache_block_size_spec="trtllm_kv_cache_tokens_per_block",
        cache_num_blocks_spec="trtllm_kv_cache_max_blocks",
    ),
    EngineConfig(
        "triton-tensorrt-llm",
        queued_requests_spec="nv_trt_llm_request_metrics{request_type=waiting}",
        running_requests_spec="nv_trt_llm_request_metrics{request_type=scheduled}",
        kv_usage_spec="nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type=fraction}",
        cache_block_size_spec="nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type=tokens_per}",
        cache_num_blocks_spec="nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type=max}",
    ),
    EngineConfig(
        "triton",
        queued_requests_spec="nv_inference_pending_request_count",
        running_requests_spec="nv_inference_exec_count",
    ),
)


class CoreMetricsExtractor:
    """Reads the load of an endpoint from its engine's page.

    The endpoint's label ``engine_label_key`` (or the field's former one) names the engine; without a label, or
    with an unknown name, it is ``default_engine``. An ``engine_configs`` entry adds an engine or replaces the
    built-in one of its name. With ``kv_transfers`` it reads the transfers between engines as well, which other
    pages are not searched for.
    """

    def __init__(
        self,
        engine_label_key: str = "llm-d.ai/engine-type",
        default_engine: str = "vllm",
        engine_configs: Sequence[EngineConfig] = (),
        kv_transfers: bool = False,
    ) -> None:
        configs = {config.name: config for config in BUILT_IN_ENGINES} | _by_name(engine_configs)
        if default_engine not in configs:
            raise ValueError(f"default_engine: unknown engine {default_engine!r}; known are {', '.join(configs)}")
        self._label_keys = (engine_label_key, LEGACY_ENGINE_LABEL)
        self._engines = {name: _Engine(config, kv_transfers=kv_transfers) for name, config in configs.items()}
        self._default = self._engines[default_engine]

    def extract(self, page: bytes, endpoint: Endpoint, now: float) -> EndpointMetrics:
        """The endpoint's metrics with every value found on the page replaced; the others keep value and age.

        Raises:
            ValueError: the page is not an exposition, or a wanted line is malformed.
        """
        return self._engine_of(endpoint).read(page, endpoint.metrics, now)

    def _engine_of(self, endpoint: Endpoint) -> "_Engine":
        for key in self._label_keys:
            if key in endpoint.labels:
                return self._engines.get(endpoint.labels[key], self._default)
        return self._default


def _by_name(configs: Sequence[EngineConfig]) -> dict[str, EngineConfig]:
    by_name = {config.name: config for config in configs}
    for index, config in enumerate(configs):
        if config.name in ("", RESERVED_ENGINE_NAME):
            raise ValueError(f"engine_configs[{index}].name: {config.name!r} is empty or reserved")
        if by_name[config.name] is not config:
            raise ValueError(f"engine_configs[{index}].name: {config.name!r} is given twice")
    return by_name


_Samples = Mapping[str, Sequence[Sample]]
_Reader = Callable[[_Samples], Mapping[str, object]]


class _Engine:
    """An ``EngineConfig`` made ready: the families to look for and one reader for each group of values."""

    def __init__(self, config: EngineConfig, *, kv_transfers: bool) -> None:
        self._config = config
        self._kv_transfers = kv_transfers
        self._families: set[str] = set()
        self._custom = {
            metric.attribute_key: self._spec(f"custom_metrics[{index}].metric_spec", metric.metric_spec)
            for index, metric in enumerate(config.custom_metrics)
        }
        self._readers = tuple(self._make_readers())

    def read(self, page: bytes, known: EndpointMetrics, now: float) -> EndpointMetrics:
        samples = read_samples(page, self._families)
        found: dict[str, Any] = {}
        for reader in self._readers:
            found.update(reader(samples))
        seen = dict.fromkeys(found, now)
        custom = {key: value for key, spec in self._custom.items() if (value := _first(spec, samples)) is not None}
        if custom:
            found["custom"] = {**known.custom, **custom}
            seen.update({f"custom.{key}": now for key in custom})
        return replace(known, **found, observed_at={**known.observed_at, **seen})

    def _spec(self, field: str, text: str) -> MetricSpec:
        try:
            spec = parse_metric_spec(text)
        except ValueError as error:
            raise ValueError(f"engine {self._config.name!r}: {field}: {error}") from None
        self._families.add(spec.family)
        return spec

    def _make_readers(self) -> Iterable[_Reader]:
        yield from self._load_readers()
        yield from self._cache_readers()
        if self._kv_transfers:
            yield from self._transfer_readers()

    def _load_readers(self) -> Iterable[_Reader]:
        config = self._config
        if text := config.queued_requests_spec:
            yield _value("waiting_queue_size", _total, self._spec("queued_requests_spec", text))
        if text := config.running_requests_spec:
            yield _value("running_requests", _total, self._spec("running_requests_spec", text))
        if text := config.kv_usage_spec:
            yield _value("kv_cache_utilization", _fullest, *self._with_former_name("kv_usage_spec", text))
        if text := config.lora_spec:
            yield _adapters(self._spec("lora_spec", text))

    def _cache_readers(self) -> Iterable[_Reader]:
        config = self._config
        if text := config.cache_block_size_spec:
            yield _value("cache_block_size", _largest, self._spec("cache_block_size_spec", text))
        if text := config.cache_num_blocks_spec:
            yield _value("cache_num_blocks", _total, self._spec("cache_num_blocks_spec", text))
        if text := config.cache_info_spec:
            yield self._cache_info(self._spec("cache_info_spec", text))
        if text := config.prefix_cache_queries_spec:
            specs = self._with_former_name("prefix_cache_queries_spec", text)
            yield _value("prefix_cache_queries", _sum, *specs)
        if text := config.prefix_cache_hits_spec:
            yield _value("prefix_cache_hits", _sum, *self._with_former_name("prefix_cache_hits_spec", text))

    def _transfer_readers(self) -> Iterable[_Reader]:
        config = self._config
        if text := config.kv_transfers_spec:
            yield _value("kv_transfers", _sum, self._spec("kv_transfers_spec", text))
        if text := config.kv_transfer_time_spec:
            read = _sum if config.kv_transfer_time_unit == "seconds" else _seconds_of_milliseconds
            yield _value("kv_transfer_seconds", read, self._spec("kv_transfer_time_spec", text))

    def _with_former_name(self, field: str, text: str) -> tuple[MetricSpec, ...]:
        spec = self._spec(field, text)
        if former := _FORMER_NAMES.get(spec.family):
            self._families.add(former)
            return spec, replace(spec, family=former)
        return (spec,)

    def _cache_info(self, spec: MetricSpec) -> _Reader:
        size_label = self._config.cache_block_size_label_name
        blocks_label = self._config.cache_num_blocks_label_name

        def read(samples: _Samples) -> Mapping[str, object]:
            series = spec.select(samples[spec.family])
            size = _largest(_from_label(sample, size_label) for sample in series)
            blocks = _total(_from_label(sample, blocks_label) for sample in series)
            found = {"cache_block_size": size, "cache_num_blocks": blocks}
            return {name: value for name, value in found.items() if value is not None}

        return read


def _value(field: str, combine: Callable[[Iterable[float]], float | None], *specs: MetricSpec) -> _Reader:
    """Reads one field from the first of the specs that has a usable value."""

    def read(samples: _Samples) -> Mapping[str, object]:
        for spec in specs:
            value = combine(sample.value for sample in spec.select(samples[spec.family]))
            if value is not None:
                return {field: value}
        return {}

    return read


def _adapters(spec: MetricSpec) -> _Reader:
    def read(samples: _Samples) -> Mapping[str, object]:
        series = [sample for sample in spec.select(samples[spec.family]) if 0 <= sample.value < math.inf]
        if not series:
            return {}
        newest = max(series, key=lambda sample: sample.value)
        most = _largest([_from_label(newest, "max_lora")])
        return {
            "active_adapters": _names(newest.labels.get("running_lora_adapters", "")),
            "waiting_adapters": _names(newest.labels.get("waiting_lora_adapters", "")),
            **({} if most is None else {"max_active_adapters": most}),
        }

    return read


def _names(listed: str) -> frozenset[str]:
    return frozenset(name for part in listed.split(",") if (name := part.strip()))


def _from_label(sample: Sample, label: str) -> float:
    """The label as a number; NaN, which every combination leaves out, if it is none ("None" before start-up ends)."""
    try:
        return float(sample.labels.get(label, "nan"))
    except ValueError:
        return float("nan")


def _counts(values: Iterable[float]) -> list[int]:
    return [int(value) for value in values if 0 <= value <= MAX_COUNT]  # a comparison with NaN is false


def _total(values: Iterable[float]) -> int | None:
    counts = _counts(values)
    return sum(counts) if counts else None


def _sum(values: Iterable[float]) -> float | None:
    totals = [value for value in values if 0 <= value <= MAX_TOTAL]
    return sum(totals) if totals else None


def _seconds_of_milliseconds(values: Iterable[float]) -> float | None:
    total = _sum(values)
    return None if total is None else total / 1000.0


def _largest(values: Iterable[float]) -> int | None:
    return max(_counts(values), default=None)


def _fullest(values: Iterable[float]) -> float | None:
    fractions = [min(1.0, value) for value in values if 0 <= value <= _MAX_FRACTION]
    return max(fractions, default=None)


def _first(spec: MetricSpec, samples: _Samples) -> float | None:
    usable = (sample.value for sample in spec.select(samples[spec.family]) if math.isfinite(sample.value))
    return next(usable, None)
