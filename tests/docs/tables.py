"""Tables of the pages that are read off the code.

A page holds ``<!-- table: NAME ARGUMENT -->`` and, after the table, ``<!-- end of table -->``.
``PYTHONPATH=tests python -m docs.tables`` writes what belongs in between; a test compares.
"""

import asyncio
import json
import re
import sys
import tempfile
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType

from prometheus_client import CollectorRegistry
from pydantic import BaseModel

from docs.blocks import ROOT, pages
from docs.commands import flags
from docs.topology_fields import topology_fields
from plugins.tokens.tokenizer_files import write_tokenizer
from turnout.config import shipped_profiles
from turnout.config.catalogue import KNOWN_TYPES
from turnout.config.parameters import parameters_of
from turnout.epp.datalayer.engines import BUILT_IN_ENGINES, EngineConfig
from turnout.epp.datalayer.scraper import ScrapeCounters
from turnout.epp.datalayer.store import EndpointStatus
from turnout.epp.observe.families import COUNTERS, GAUGES, HISTOGRAMS, REQUEST_LABELS
from turnout.epp.observe.pool import PoolGauges
from turnout.epp.observe.readings import PluginReadings
from turnout.epp.observe.scaling import AdviceGauges, ScalingAdvices
from turnout.epp.observe.scrapes import ScrapeErrors
from turnout.epp.observe.streams import StreamMetrics
from turnout.framework import (
    PROMPT,
    Completion,
    CycleState,
    Endpoint,
    EndpointMetrics,
    Headers,
    InferenceRequest,
    PluginError,
    ProfileResult,
    Prompt,
    QueuedRequest,
    Registry,
    Response,
    ResponseChunk,
    SchedulingResult,
    Termination,
    Usage,
    WallClock,
)
from turnout.plugins.autoscaling.advisor import AutoscalingAdvisor
from turnout.plugins.cost.budget import CostBudget
from turnout.plugins.cost.producer import ExpectedCostProducer
from turnout.plugins.disagg.keys import DISAGG_DECISION
from turnout.plugins.disagg.predicted_time import PREDICTED_TIME, PredictedTimePdDecider
from turnout.plugins.fairness.program_aware import ProgramAwareFairness
from turnout.plugins.feeds.source import FeedSource
from turnout.plugins.gang.handler import GangProfileHandler
from turnout.plugins.gang.members import Member
from turnout.plugins.inflight_load.producer import InFlightLoadProducer
from turnout.plugins.inflight_load.token_load_producer import TokenLoadProducer
from turnout.plugins.latency.producer import PredictedLatencyProducer
from turnout.plugins.model_cache.producer import ModelCacheProducer
from turnout.plugins.prefix_cache.approximate import ApproxPrefixCacheProducer
from turnout.plugins.priorities.level_classifier import PriorityLevelClassifier
from turnout.plugins.saturation.utilization import UtilizationDetector
from turnout.plugins.sla.targets import SlaTarget
from turnout.plugins.sla.tracker import SlaTracker
from turnout.plugins.strategies.adaptive import AdaptiveOrderingPolicy
from turnout.plugins.token_fairness.token_fairness import TokenFairnessPolicy
from turnout.plugins.tokens.producer import TokenizerFiles, TokenProducer, VllmRenderer
from turnout.plugins.topology.document import encoded
from turnout.plugins.topology.machine import Gpu, Machine, Memory
from turnout.plugins.topology.per_host import HostPages
from turnout.plugins.topology.producer import TopologyProducer
from turnout.plugins.topology.topology_filter import TopologyFilter
from turnout.plugins.topology.topology_scorer import GpuTopologyScorer

Row = Sequence[str]
Shape = Mapping[str, object]
_KINDS = {"string": "text", "integer": "whole number", "boolean": "true or false", "object": "mapping"}
_MARKED = re.compile(
    r"(?P<start><!-- table: (?P<name>[a-z-]+)(?: (?P<argument>[^ ]+))? -->\n)(?:.*?)"
    r"(?P<end><!-- end of table -->)",
    re.DOTALL,
)


def with_tables(text: str) -> str:
    """The page with every marked table as the code has it."""
    return _MARKED.sub(
        lambda found: found["start"] + _TABLES[found["name"]](found["argument"] or "") + found["end"], text
    )


def marked(text: str) -> set[tuple[str, str]]:
    """Names and arguments of the tables that the page has."""
    return {(found["name"], found["argument"] or "") for found in _MARKED.finditer(text)}


def _markdown(title: Row, rows: Iterable[Row]) -> str:
    lines = [title, ["---"] * len(title), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |\n" for line in lines)


# --- parameters of plugins -------------------------------------------------------------------------------


def _parameters(plugin_type: str) -> str:
    found = parameters_of(Registry.from_entry_points().load(plugin_type))
    if not found.names:
        return "No parameters.\n"
    return _markdown(("parameter", "type", "default"), _parameter_rows(found.model, found.spelled(found.defaults)))


def _parameter_rows(model: type[BaseModel], defaults: Mapping[str, object]) -> Iterable[Row]:
    schema = model.model_json_schema()
    for name, field in model.model_fields.items():
        spelled = field.alias or name
        shape = _resolved(schema["properties"][spelled], schema)
        yield from _rows_of(spelled, shape, schema, defaults.get(spelled), required=field.is_required())


def _rows_of(path: str, shape: Shape, schema: Shape, default: object, *, required: bool) -> Iterable[Row]:
    # What a mapping must have may have a value where the whole mapping is left out.
    must = "required" if default is None else f"{_shown(default)}, required in a mapping that is given"
    yield (f"`{path}`", _kind(shape, schema), must if required else _shown(default))
    items = shape.get("items")
    inner = _resolved(items, schema) if isinstance(items, Mapping) else _where_given(shape, schema)
    properties, needed = inner.get("properties"), inner.get("required", ())
    if not isinstance(properties, Mapping) or not isinstance(needed, Sequence):
        return
    path = f"{path}[]" if isinstance(items, Mapping) else path
    known = default if isinstance(default, Mapping) else {}
    for name, property_shape in properties.items():
        below = _resolved(property_shape, schema)
        value = known.get(name, below.get("default"))
        yield from _rows_of(f"{path}.{name}", below, schema, value, required=name in needed)


def _resolved(shape: Shape, schema: Shape) -> Shape:
    reference = shape.get("$ref")
    definitions = schema.get("$defs")
    if isinstance(reference, str) and isinstance(definitions, Mapping):
        return {**definitions[reference.rpartition("/")[2]], **{key: shape[key] for key in shape if key != "$ref"}}
    return shape


def _where_given(shape: Shape, schema: Shape) -> Shape:
    """The one shape of an optional value other than null."""
    choices = shape.get("anyOf")
    given = [choice for choice in choices if choice.get("type") != "null"] if isinstance(choices, list) else []
    return _resolved(given[0], schema) if len(given) == 1 else shape


def _kind(shape: Shape, schema: Shape) -> str:
    choices = shape.get("anyOf")
    if isinstance(choices, list):
        kinds = [_kind(_resolved(choice, schema), schema) for choice in choices]
        return " or ".join(kind for kind in kinds if kind != "null")
    words = shape.get("enum")
    if isinstance(words, list):
        return " or ".join(f"`{word}`" for word in words)
    if "const" in shape:
        return f"`{shape['const']}`"
    form = shape.get("format")
    if form in ("go-duration", "quantity"):
        return str(form).removeprefix("go-")
    items = shape.get("items")
    if isinstance(items, Mapping):
        return f"list of {_kind(_resolved(items, schema), schema)}"
    kind = str(shape.get("type"))
    return {"string": "text", "integer": "whole number", "boolean": "true or false", "object": "mapping"}.get(
        kind, kind
    )


def _shown(value: object) -> str:
    if value is None or value in ({}, []):
        return "none"
    if isinstance(value, dict):
        return "below"
    return f"`{json.dumps(value)}`"


# --- the rest --------------------------------------------------------------------------------------------


def _flags(command: str) -> str:
    rows = (
        (", ".join(f"`{name}`" for name in flag.names), f"`{flag.default}`" if flag.default else "none", flag.help)
        for flag in flags()
        if flag.command == command
    )
    return _markdown(("flag", "default", "meaning"), rows)


def _engines(_: str) -> str:
    title = ("engine", "waiting", "running", "KV-cache utilization", "LoRA", "block size, number of blocks")
    return _markdown(title, (_engine(config) for config in BUILT_IN_ENGINES))


def _engine(config: EngineConfig) -> Row:
    blocks = [f"`{spec}`" for spec in (config.cache_block_size_spec, config.cache_num_blocks_spec) if spec]
    if config.cache_info_spec:
        labels = f"`{config.cache_block_size_label_name}`, `{config.cache_num_blocks_label_name}`"
        blocks = [f"`{config.cache_info_spec}` labels {labels}"]
    specs = (config.queued_requests_spec, config.running_requests_spec, config.kv_usage_spec, config.lora_spec)
    return (config.name, *(f"`{spec}`" if spec else "none" for spec in specs), ", ".join(blocks) or "none")


def _profiles(_: str) -> str:
    files = sorted(shipped_profiles().iterdir(), key=lambda file: file.name)
    rows = ((f"`{file.name}`", file.read_text().splitlines()[0].lstrip("# ")) for file in files)
    return _markdown(("file", "what it is for"), rows)


def _not_offered(_: str) -> str:
    missing = sorted(KNOWN_TYPES - set(Registry.from_entry_points().names()))
    return textwrap.fill(", ".join(f"`{name}`" for name in missing) + ".", 118, break_on_hyphens=False) + "\n"


def _metrics(_: str) -> str:
    rows = [
        *((spec.stem, "histogram", spec.labels, spec.help) for spec in HISTOGRAMS),
        *((spec.stem, "counter", spec.labels, spec.help) for spec in COUNTERS),
        *((spec.stem, "gauge", spec.labels, spec.help) for spec in GAUGES),
        *_collected(_read_at_a_scrape(), ""),
        *_collected(_of_streams(), " Only with `--enable-grpc-stream-metrics`."),
    ]
    shown = ((f"`{stem}`", kind, _labels(labels), words) for stem, kind, labels, words in rows)
    return _markdown(("metric", "type", "labels", "meaning"), shown)


def _labels(labels: Sequence[str]) -> str:
    shared = len(REQUEST_LABELS) if tuple(labels[: len(REQUEST_LABELS)]) == REQUEST_LABELS else 0
    words = [*(["request labels"] if shared else []), *(f"`{label}`" for label in labels[shared:])]
    return ", ".join(words) or "none"


def _collected(registry: CollectorRegistry, remark: str) -> Iterable[tuple[str, str, Sequence[str], str]]:
    for family in registry.collect():
        suffix = "_total" if family.type == "counter" else ""
        labels = [label for label in family.samples[0].labels if label != "le"]
        yield family.name + suffix, family.type, labels, family.documentation + remark


def _of_streams() -> CollectorRegistry:
    registry = CollectorRegistry()
    streams = StreamMetrics("", registry)
    streams.stream_started()
    streams.stream_ended("OK", 0.0)
    return registry


def _read_at_a_scrape() -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(PoolGauges("", "pool", _OnePool()))
    errors = ScrapeCounters(poll_errors=Counter(source=1), extract_errors=Counter({("source", "extractor"): 1}))
    registry.register(ScrapeErrors("", errors, str))
    registry.register(AdviceGauges("", _advised(), str))
    plugins = {
        "tokens": _measuring_producer(),
        "models": _learnt_loads(),
        "prefix": _compared_producer(),
        "load": _loaded_producer(),
        "latency": _predicting_producer(),
        "decider": _deciding_decider(),
        "levels": PriorityLevelClassifier(),
        "strategy": AdaptiveOrderingPolicy(),
        **_token_producers(),
        "detector": UtilizationDetector(),
        "programs": _fairness_with_a_program(),
        "sla": _tracker(),
        "tenants": TokenFairnessPolicy(),
        "prices": ExpectedCostProducer(),
        "budget": _spent_budget(),
        "gangs": GangProfileHandler([Member("decode")]),
        "rules": TopologyFilter("nvlink", mode="preferred"),
        "ways": GpuTopologyScorer(),
        "topology": _known_topology(),
    }
    registry.register(PluginReadings("", lambda: plugins, str, _unexpected))
    return registry


def _compared_producer() -> ApproxPrefixCacheProducer:
    producer = ApproxPrefixCacheProducer()
    state, result = _dispatched()
    asyncio.run(producer.produce(InferenceRequest("r"), state, result.endpoints))
    producer.pre_request(InferenceRequest("r"), state, result)
    end = Completion(result.endpoint, Termination.NATURAL, usage=Usage(prompt_tokens=1, cached_tokens=0))
    producer.response_complete(InferenceRequest("r"), state, end)
    return producer


def _token_producers() -> Mapping[str, TokenProducer]:
    with tempfile.TemporaryDirectory() as folder:
        files = TokenizerFiles(str(write_tokenizer(Path(folder))))
        return {"vllm": TokenProducer(vllm=VllmRenderer()), "local": TokenProducer(tokenizer=files)}


def _loaded_producer() -> InFlightLoadProducer:
    producer = InFlightLoadProducer()
    state, result = _dispatched()
    producer.pre_request(InferenceRequest("r"), state, result)
    return producer


def _predicting_producer() -> PredictedLatencyProducer:
    producer = PredictedLatencyProducer(prediction_servers=["http://a"], training_server="http://b")
    state, result = _dispatched()
    producer.pre_request(InferenceRequest("r"), state, result)
    return producer


def _advised() -> ScalingAdvices:
    advisor = AutoscalingAdvisor()
    advices = ScalingAdvices(lambda: {"advisor": advisor}, _OnePool().snapshot, lambda: 0.0, _unexpected)
    advices.ask()
    return advices


def _measuring_producer() -> TokenLoadProducer:
    producer = TokenLoadProducer()
    state, result = _dispatched()
    producer.endpoints_changed(result.endpoints)
    producer.pre_request(InferenceRequest("r"), state, result)
    return producer


def _deciding_decider() -> PredictedTimePdDecider:
    decider, state = PredictedTimePdDecider(), CycleState()
    asyncio.run(decider.produce(InferenceRequest("r"), state, ()))
    (endpoint,) = _OnePool().snapshot()
    state.read(DISAGG_DECISION.of(PREDICTED_TIME))(endpoint)
    return decider


def _learnt_loads() -> ModelCacheProducer:
    producer = ModelCacheProducer(adapters=["m"])
    for now in (0.0, 1.0, 100_000.0):
        state, result = _dispatched()
        state.now = now
        producer.pre_request(InferenceRequest("r", "m", "m"), state, result)
        response = Response(200, Headers(), result.endpoint, streaming=True)
        producer.response_body(InferenceRequest("r"), state, response, ResponseChunk(b"", first=True, last=True))
    return producer


def _fairness_with_a_program() -> ProgramAwareFairness:
    policy = ProgramAwareFairness()
    policy.request_dispatched(QueuedRequest(InferenceRequest("r"), 0.0), 0, 0.0)
    return policy


def _tracker() -> SlaTracker:
    tracker = SlaTracker([SlaTarget("t", "ttft", 99.0, timedelta(seconds=1))])
    _, result = _dispatched()
    end = Completion(result.endpoint, Termination.NATURAL, 200, first_byte_seconds=0.5)
    tracker.response_complete(InferenceRequest("r"), CycleState(), end)
    return tracker


def _spent_budget() -> CostBudget:
    budget = CostBudget(pool_per_hour=1.0)
    state, result = _dispatched()
    budget.pre_request(InferenceRequest("r"), state, result)
    budget.response_complete(InferenceRequest("r"), state, Completion(result.endpoint, Termination.NATURAL))
    budget.admit_decision(InferenceRequest("r"), state, result)
    return budget


def _known_topology() -> TopologyProducer:
    memory = Memory(total=1, used=0, free=1)
    machine = Machine(node="n", read_at="t", gpus=(Gpu(index=0, memory=memory, utilization=0.5),))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "topology.json"
        file.write_bytes(encoded(machine))
        clock = WallClock(file.stat().st_mtime)
        producer = TopologyProducer(clock, FeedSource(file=str(file)), agents=HostPages("http://{host}/"))
    producer.endpoints_changed([Endpoint("e", "10.0.0.1", 1, {"kubernetes.io/hostname": "n"})])
    return producer


def _dispatched() -> tuple[CycleState, SchedulingResult]:
    (endpoint,) = _OnePool().snapshot()
    state = CycleState()
    state.write(PROMPT, Prompt(b"text", tokens=1))
    return state, SchedulingResult("default", {"default": ProfileResult("default", (endpoint,), ())})


def _unexpected(error: PluginError) -> None:
    raise error


class _OnePool:
    def snapshot(self) -> Sequence[Endpoint]:
        seen = {"kv_transfers": 0.0, "kv_transfer_seconds": 0.0}
        return (Endpoint("default/a", "10.0.0.1", 8000, metrics=EndpointMetrics(observed_at=seen)),)

    def statuses(self) -> Sequence[EndpointStatus]:
        return (EndpointStatus("default/a", in_service=True, reason=""),)


_TABLES: Mapping[str, Callable[[str], str]] = MappingProxyType(
    {
        "parameters": _parameters,
        "flags": _flags,
        "engines": _engines,
        "profiles": _profiles,
        "not-offered": _not_offered,
        "metrics": _metrics,
        "topology-document": lambda _: _markdown(("field", "type", "meaning"), topology_fields()),
    }
)


def _rewrite(page: Path) -> bool:
    text = page.read_text()
    fresh = with_tables(text)
    page.write_text(fresh)
    return fresh != text


if __name__ == "__main__":
    changed = [page for page in pages() if _rewrite(ROOT / page)]
    sys.stdout.write("".join(f"{page}\n" for page in changed) or "every table is current\n")
