"""Configurations of the shapes in which the field uses DCGM exporters and topology, from a file to decisions."""

import asyncio
from dataclasses import replace

import pytest

from turnout.config import Pipeline, load_pipeline
from turnout.framework import Endpoint, SchedulingResult
from turnout.framework.testing import make_endpoint, make_request, make_state

GPU_UTILIZATION = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- type: dcgm-data-source
  name: exporters
  parameters:
    port: 9400
    useNodeAddress: true
- type: dcgm-extractor
  name: busy-gpus
- type: endpoint-attribute-filter
  name: not-busy
  parameters:
    attribute: GPUUtilization
    producer: dcgm-extractor
    onMissing: Pass
    fallbackOnEmpty: true
    algorithm:
      type: threshold
      threshold:
        operator: LessThanOrEqual
        value: 0.9
- type: endpoint-attribute-scorer
  name: least-busy
  parameters:
    attributeKey: GPUUtilization
    producer: dcgm-extractor
    algorithm:
      type: linear_lower_is_better
      normalization:
        fixedRange: {min: 0, max: 1}
- type: kv-cache-utilization-scorer
- type: max-score-picker
- type: single-profile-handler
- type: decode-filter
dataLayer:
  sources:
  - pluginRef: exporters
    extractors:
    - pluginRef: busy-gpus
schedulingProfiles:
- name: default
  plugins:
  - pluginRef: decode-filter
  - pluginRef: not-busy
  - pluginRef: least-busy
    weight: 2
  - pluginRef: kv-cache-utilization-scorer
  - pluginRef: max-score-picker
"""

PAGE = """
# TYPE DCGM_FI_DEV_GPU_UTIL gauge
DCGM_FI_DEV_GPU_UTIL{gpu="0",UUID="GPU-0",container="vllm",namespace="default",pod="full"} 97
DCGM_FI_DEV_GPU_UTIL{gpu="1",UUID="GPU-1",container="vllm",namespace="default",pod="busy"} 60
DCGM_FI_DEV_GPU_UTIL{gpu="2",UUID="GPU-2",container="vllm",namespace="default",pod="calm"} 25
DCGM_FI_DEV_GPU_UTIL{gpu="3",UUID="GPU-3",container="vllm",namespace="default",pod="calm"} 30
"""


def scraped(pipeline: Pipeline, page: str, *names: str) -> list[Endpoint]:
    """Endpoints after their page was read by the extractors of the first source."""
    endpoints = [make_endpoint(name) for name in names]
    for named in pipeline.sources[0].extractors:
        endpoints = [
            replace(endpoint, metrics=named.plugin.extract(page.encode(), endpoint, 0.0)) for endpoint in endpoints
        ]
    return endpoints


def decided(pipeline: Pipeline, pool: list[Endpoint]) -> SchedulingResult:
    request, state = make_request(), make_state("x" * 4_000)
    for watcher in pipeline.watchers:
        watcher.plugin.endpoints_changed(pool)

    async def produce() -> None:
        for named in (named for stage in pipeline.producer_stages for named in stage):
            await named.plugin.produce(request, state, pool)

    asyncio.run(produce())
    return pipeline.scheduler.schedule(request, state, pool, 0.0)


def test_a_file_may_have_dcgm_exporters_beside_the_engines() -> None:
    pipeline = load_pipeline(GPU_UTILIZATION)
    assert pipeline.warnings == ()
    assert [(binding.source.name, [named.name for named in binding.extractors]) for binding in pipeline.sources] == [
        ("exporters", ["busy-gpus"]),
        ("metrics-data-source", ["core-metrics-extractor"]),
    ]


@pytest.mark.parametrize(
    ("pool", "scores"),
    [
        pytest.param(
            ["full", "busy", "calm", "unknown"],
            {"busy": 2 * 0.4 + 1.0, "calm": 2 * 0.7 + 1.0, "unknown": 1.0},
            id="a full one is left out, and the calmest is best",
        ),
        pytest.param(["full"], {"full": 2 * 0.03 + 1.0}, id="all are full"),
    ],
)
def test_how_busy_gpus_are_decides(pool: list[str], scores: dict[str, float]) -> None:
    pipeline = load_pipeline(GPU_UTILIZATION)
    result = decided(pipeline, scraped(pipeline, PAGE, *pool))
    found = {one.endpoint.name.removeprefix("default/"): one.score for one in result.profiles["default"].scored}
    assert found == pytest.approx(scores)
    assert result.endpoint.name == f"default/{max(scores, key=lambda name: scores[name])}"


DISAGGREGATED = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- type: approx-prefix-cache-producer
  parameters: {maxPrefixTokensToMatch: 16384, lruCapacityPerServer: 31250}
- type: prefix-cache-scorer
- type: queue-scorer
- type: prefill-filter
- type: decode-filter
- type: max-score-picker
TOPOLOGY
- type: disagg-profile-handler
  parameters: {deciders: {prefill: always-disagg-pd-decider}}
- type: always-disagg-pd-decider
schedulingProfiles:
- name: prefill
  plugins:
  - pluginRef: prefill-filter
  - pluginRef: topology-affinity-filter
  - pluginRef: max-score-picker
  - pluginRef: prefix-cache-scorer
    weight: 2
  - pluginRef: queue-scorer
  - pluginRef: topology-affinity-scorer
- name: decode
  plugins:
  - pluginRef: decode-filter
  - pluginRef: max-score-picker
  - pluginRef: queue-scorer
"""

AS_IT_IS = """\
- type: topology-extractor
- type: topology-affinity-filter
- type: topology-affinity-scorer
"""
BY_OTHER_LABELS = """\
- type: topology-extractor
  parameters: {hostname: node, rack: row}
- type: topology-affinity-filter
  parameters: {minAffinity: rack}
- type: topology-affinity-scorer
"""
UNDER_ANOTHER_NAME = """\
- type: topology-extractor
  name: by-node
  parameters: {hostname: node, rack: row}
- type: topology-extractor
- type: topology-affinity-filter
  parameters: {minAffinity: rack, topologyProducerName: by-node}
- type: topology-affinity-scorer
  parameters: {topologyProducerName: by-node}
"""
OF_THE_PRODUCER = """\
- type: topology-producer
  parameters: {places: {host: node, rack: row}}
- type: topology-affinity-filter
  parameters: {minAffinity: rack, topologyProducerName: topology-producer}
- type: topology-affinity-scorer
  parameters: {topologyProducerName: topology-producer}
"""
OF_THE_ONLY_PRODUCER = """\
- type: topology-producer
  parameters: {places: {host: node, rack: row}}
- type: topology-affinity-filter
  parameters: {minAffinity: rack}
- type: topology-affinity-scorer
"""
NOBODY_S = """\
- type: topology-affinity-filter
  parameters: {topologyProducerName: topology-producer}
- type: topology-affinity-scorer
"""
LISTED = """\
- type: endpoint-notification-source
- type: topology-extractor
- type: topology-affinity-filter
- type: topology-affinity-scorer
"""
LISTING = """
dataLayer:
  sources:
  - pluginRef: endpoint-notification-source
    extractors:
    - pluginRef: topology-extractor
"""


def stage(name: str, role: str, host: str, node: str, row: str) -> Endpoint:
    labels = {"llm-d.ai/role": role, "kubernetes.io/hostname": host, "node": node, "row": row}
    return make_endpoint(name, labels=labels)


DECODES = stage("decodes", "decode", "h1", "n1", "r1")
BY_HOSTNAME = stage("by-hostname", "prefill", "h1", "n9", "r9")
BY_ROW = stage("by-row", "prefill", "h2", "n2", "r1")
BY_NODE = stage("by-node", "prefill", "h3", "n1", "r1")
POOL = [DECODES, BY_HOSTNAME, BY_ROW, BY_NODE]


@pytest.mark.parametrize(
    ("text", "prefill"),
    [
        pytest.param(DISAGGREGATED.replace("TOPOLOGY\n", AS_IT_IS), {"by-hostname": 1.0}, id="as it is"),
        pytest.param(
            DISAGGREGATED.replace("TOPOLOGY\n", BY_OTHER_LABELS), {"by-node": 1.0, "by-row": 0.2}, id="by other labels"
        ),
        pytest.param(
            DISAGGREGATED.replace("TOPOLOGY\n", UNDER_ANOTHER_NAME),
            {"by-node": 1.0, "by-row": 0.2},
            id="by an extractor of another name",
        ),
        pytest.param(
            DISAGGREGATED.replace("TOPOLOGY\n", OF_THE_PRODUCER),
            {"by-node": 1.0, "by-row": 0.2},
            id="by the labels of topology-producer",
        ),
        pytest.param(
            DISAGGREGATED.replace("TOPOLOGY\n", OF_THE_ONLY_PRODUCER),
            {"by-node": 1.0, "by-row": 0.2},
            id="by those of topology-producer where nobody else has any",
        ),
        pytest.param(
            DISAGGREGATED.replace("TOPOLOGY\n", NOBODY_S), {"by-hostname": 1.0}, id="by a producer that is not there"
        ),
        pytest.param(
            DISAGGREGATED.replace("TOPOLOGY\n", LISTED) + LISTING,
            {"by-hostname": 1.0},
            id="listed as one that hears of endpoints",
        ),
    ],
)
def test_prefill_goes_near_the_endpoint_that_decodes(text: str, prefill: dict[str, float]) -> None:
    pipeline = load_pipeline(text)
    assert pipeline.warnings == ()
    result = decided(pipeline, POOL)
    assert result.endpoint == DECODES
    # All queues are empty, which is worth 1.
    scored = {one.endpoint.name.removeprefix("default/"): one.score - 1.0 for one in result.profiles["prefill"].scored}
    assert scored == pytest.approx(prefill)
    assert result.profiles["prefill"].picked[0].name == f"default/{max(prefill, key=lambda name: prefill[name])}"


def test_a_producer_of_places_that_nobody_has_is_warned_of() -> None:
    text = DISAGGREGATED.replace(
        "TOPOLOGY\n", AS_IT_IS.replace("-scorer", "-scorer\n  parameters: {topologyProducerName: x}")
    )
    assert [warning.message for warning in load_pipeline(text).warnings] == [
        "plugin 'topology-affinity-scorer' goes without 'place-labels': 'x' writes none"
    ]


def test_an_attribute_may_have_the_range_of_the_candidates() -> None:
    text = GPU_UTILIZATION.replace("fixedRange: {min: 0, max: 1}", "adaptiveRange: {}")
    pipeline = load_pipeline(text)
    result = decided(pipeline, scraped(pipeline, PAGE, "busy", "calm"))
    assert [one.score for one in result.profiles["default"].scored] == [1.0, 3.0]
