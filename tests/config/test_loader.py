import copy
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.fakes import HEAD, load, problems, registry, warnings
from config.flow_fakes import flow_registry
from turnout.config import DEFAULT_CONFIG, ConfigError, Pipeline, load_pipeline, load_pipeline_file
from turnout.config.document import MAX_BYTES, Value, read_document

SCORER = "plugins: [{type: queue-scorer}]\n"


@pytest.mark.parametrize(
    ("head", "found"),
    [
        pytest.param(HEAD, [], id="the field's version"),
        pytest.param("apiVersion: turnout/v1\nkind: EndpointPickerConfig\n", [], id="our version"),
        pytest.param(
            "apiVersion: inference.networking.x-k8s.io/v1alpha1\nkind: EndpointPickerConfig\n",
            ["1: apiVersion: inference.networking.x-k8s.io/v1alpha1 is deprecated; write llm-d.ai/v1alpha1"],
            id="the deprecated version",
        ),
        pytest.param(
            "",
            [
                "1: document: apiVersion is missing; taken as llm-d.ai/v1alpha1",
                "1: document: kind is missing; taken as EndpointPickerConfig",
            ],
            id="neither version nor kind",
        ),
    ],
)
def test_a_version_is_accepted(head: str, found: list[str]) -> None:
    assert warnings(SCORER, head=head) == found


def test_another_version_is_refused_with_those_accepted() -> None:
    assert problems(SCORER, head="apiVersion: llm-d.ai/v1\nkind: EndpointPickerConfig\n") == [
        (
            "1: apiVersion: 'llm-d.ai/v1' is not accepted; accepted: 'llm-d.ai/v1alpha1', "
            "'inference.networking.x-k8s.io/v1alpha1' or 'turnout/v1'"
        )
    ]


def test_json_is_a_configuration_too() -> None:
    document = {"apiVersion": "turnout/v1", "kind": "EndpointPickerConfig", "plugins": [{"type": "queue-scorer"}]}
    assert "queue-scorer" in load_pipeline(json.dumps(document, indent="\t"), registry=registry()).plugins


def test_problems_of_every_step_come_together_in_the_order_of_lines() -> None:
    body = """\
featureGates: [nope]
plugins:
- type: queue-scorrer
- type: max-score-picker
  parameters: {maxNumOfEndpoints: many}
- type: orphan-scorer
schedulingProfiles:
- name: a
  plugins:
  - pluginRef: orphan-scorer
  - pluginRef: nothing
flowControl:
  maxBytes: lots
dataLayer:
  discovery: {pluginRef: orphan-scorer}
requestHandler:
  parsers: [{pluginRef: orphan-scorer}]
extra: 1
"""
    assert [line.split(": ")[:2] for line in problems(body)] == [
        ["3", "featureGates[0]"],
        ["5", "plugins[0].type"],
        ["7", "plugins[1].parameters.maxNumOfEndpoints"],
        ["8", "plugins[2]"],
        ["13", "schedulingProfiles[0].plugins[1].pluginRef"],
        ["15", "flowControl.maxBytes"],
        ["17", "dataLayer.discovery.pluginRef"],
        ["19", "requestHandler.parsers[0].pluginRef"],
        ["20", "extra"],
    ]


def test_a_file_is_named_in_its_problems(tmp_path: Path) -> None:
    file = tmp_path / "epp.yaml"
    file.write_text(HEAD + "x: 1\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_pipeline_file(file, registry=registry())
    assert str(caught.value).startswith(f"{file}:3: x: unknown field; accepted: apiVersion, dataLayer, ")
    file.write_text("\ufeff" + HEAD + SCORER, encoding="utf-8")
    assert "queue-scorer" in load_pipeline_file(file, registry=registry()).plugins


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(None, "cannot be read: No such file or directory", id="no file"),
        pytest.param(b"a: \xff\n", "is not UTF-8 at byte 3", id="another encoding"),
        pytest.param(b"#" * (MAX_BYTES + 1), "is larger than 1048576 bytes", id="too large"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_problem(tmp_path: Path, content: bytes | None, problem: str) -> None:
    file = tmp_path / "epp.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_pipeline_file(file)
    assert str(caught.value) == f"{file}:1: document: {problem}"


def test_no_configuration_means_the_shipped_default_with_the_real_plugins() -> None:
    pipeline = load_pipeline(DEFAULT_CONFIG)
    (profile,) = pipeline.scheduler.profiles
    assert [(scored.scorer.name, scored.weight) for scored in profile.scorers] == [
        ("prefix-cache-scorer", 1.0),
        ("prefill-delay-scorer", 1.0),
    ]
    assert profile.picker.name == "max-score-picker"
    assert pipeline.scheduler.profile_handler.name == "single-profile-handler"
    assert [[named.name for named in stage] for stage in pipeline.producer_stages] == [
        ["approx-prefix-cache-producer"],
        ["inflight-load-producer"],
    ]
    assert [named.name for named in pipeline.parsers] == ["openai-parser", "passthrough-parser"]
    assert pipeline.reads_body
    assert not pipeline.reads_response_body


def test_flow_control_opens_with_the_policies_that_are_installed() -> None:
    section = (
        "flowControl: {enableEviction: true, priorityBands: [{priority: 1, orderingPolicyRef: edf-ordering-policy}]}"
    )
    text = f"{HEAD}featureGates: [flowControl]\n{SCORER}{section}"
    found = load_pipeline(text).flow_control
    assert found is not None
    assert (found.default_band.fairness.name, found.default_band.ordering.name) == (
        "global-strict-fairness-policy",
        "fcfs-ordering-policy",
    )
    assert found.bands[1].ordering.name == "edf-ordering-policy"
    assert (found.usage_limit.name, found.detector.name) == ("static-usage-limit-policy", "utilization-detector")
    assert found.eviction_order is not None
    assert found.eviction_filter is not None


@pytest.mark.parametrize("version", ["llm-d.ai/v1alpha1", "inference.networking.x-k8s.io/v1alpha1", None])
def test_additions_to_flow_control_are_refused_in_a_file_of_the_field(version: str | None) -> None:
    head = f"apiVersion: {version}\n" if version else "\n"
    body = (
        "flowControl:\n  strategy: fifo\n  headOfLine: strict\n  maxEvictedShare: 0.1\n  lanes: []\n"
        "plugins: [{type: queue-scorer}]\nfeatureGates: [flowControl=false]\n"
    )
    assert problems(body, head=head) == [
        f"{line}: flowControl.{name}: is a field of another version; write apiVersion: turnout/v1"
        for line, name in ((3, "strategy"), (4, "headOfLine"), (5, "maxEvictedShare"), (6, "lanes"))
    ]


def test_a_constructors_refusal_names_the_parameter_as_the_file_does() -> None:
    text = HEAD + "plugins:\n- type: token-load-scorer\n  parameters:\n    queueThresholdTokens: 0\n"
    with pytest.raises(ConfigError, match=r":5: plugins\[0\].parameters: queueThresholdTokens must be at least 1"):
        load_pipeline(text)


FULL = """\
apiVersion: turnout/v1
kind: EndpointPickerConfig
featureGates: [flowControl=true]
plugins:
- {type: queue-scorer}
- type: rule-filter
  name: rules
  parameters: {rules: [{key: a, operator: NotIn, values: [x]}], limits: {timeLimit: 5s, retries: 2}, labels: {a: b}}
- {type: load-scorer, parameters: {producerName: mine}}
- {type: load-producer, name: mine}
- {type: metrics-data-source, parameters: {interval: 1s}}
- {type: core-metrics-extractor}
- {type: file-discovery, parameters: {path: /x, watchFile: true}}
schedulingProfiles:
- name: a
  plugins: [{pluginRef: rules, onError: skip}, {pluginRef: load-scorer, weight: 2}, {pluginRef: queue-scorer}]
dataLayer:
  injectDefaults: true
  sources: [{pluginRef: metrics-data-source, extractors: [{pluginRef: core-metrics-extractor}]}]
  discovery: {pluginRef: file-discovery}
flowControl:
  maxBytes: 1Gi
  defaultRequestTTL: 5s
  priorityBands: [{priority: 1, maxRequests: 5, orderingPolicyRef: edf-ordering-policy}, {priority: 0}]
  defaultNegativePriorityBand: {fairnessPolicyRef: round-robin-fairness-policy}
  saturationDetector: {pluginRef: utilization-detector}
  strategy: slo-aware
  enableEviction: true
  maxEvictedShare: 0.2
  headOfLine: perLane
  lanes: [{name: a, match: {models: [m], paths: [x/y], headers: {h: v}}, endpoints: {matchLabels: {gpu: big}}}]
requestHandler: {parsers: [{pluginRef: openai-parser}, {pluginRef: passthrough-parser}]}
"""
TREE = read_document(FULL, "full").data
REGISTRY = flow_registry()


def places(value: Value, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, child in steps:
        yield (*path, step)
        yield from places(child, (*path, step))


PLACES = sorted(places(TREE), key=repr)
odd_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(
        ["queue-scorer", "rules", "a", "single-profile-handler", "orphan-scorer", "broken-filter", "1Gi", "5s"]
    ),
    st.lists(st.one_of(st.none(), st.integers(), st.text(max_size=3)), max_size=2),
    st.dictionaries(st.sampled_from(["type", "name", "pluginRef", "x"]), st.text(max_size=3), max_size=2),
)
mutations = st.lists(
    st.tuples(st.sampled_from(PLACES), st.sampled_from(["set", "drop", "add", "repeat"]), odd_values), max_size=5
)


def mutate(tree: Value, path: tuple[str | int, ...], how: str, value: Value) -> None:
    place = tree
    for step in path[:-1]:
        if isinstance(place, dict) and step in place:
            place = place[str(step)]
        elif isinstance(place, list) and isinstance(step, int) and step < len(place):
            place = place[step]
        else:
            return
    last = path[-1]
    if isinstance(place, dict):
        if how == "drop":
            place.pop(str(last), None)
        else:
            place["extra" if how == "add" else str(last)] = value
    elif isinstance(place, list) and place and isinstance(last, int):
        if how == "repeat":
            place.append(copy.deepcopy(place[last % len(place)]))
        elif how == "drop":
            place.pop(last % len(place))
        else:
            place[last % len(place)] = value


def loaded_or_refused(text: str) -> Pipeline | None:
    """The pipeline, or None if the text is refused with problems that have a place; anything else fails the test."""
    try:
        return load_pipeline(text, registry=REGISTRY)
    except ConfigError as error:
        refused = error.problems
    assert refused
    assert all(problem.line >= 1 and problem.message for problem in refused)
    return None


def test_the_document_that_is_mangled_below_is_valid() -> None:
    assert load_pipeline(FULL, registry=REGISTRY).discovery is not None


@settings(max_examples=120, deadline=None)
@given(mutations)
def test_a_mangled_document_loads_or_is_refused_with_places(
    changes: list[tuple[tuple[str | int, ...], str, Value]],
) -> None:
    tree = copy.deepcopy(TREE)
    for path, how, value in changes:
        mutate(tree, path, how, copy.deepcopy(value))
    text = json.dumps(tree).replace("NaN", ".nan").replace("-Infinity", "-.inf").replace("Infinity", ".inf")
    pipeline = loaded_or_refused(text)
    if pipeline is not None:
        again = load_pipeline(pipeline.effective.to_yaml(), registry=REGISTRY, previous=pipeline)
        assert list(again.plugins) == list(pipeline.plugins)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60))
def test_any_text_loads_or_is_refused(text: str) -> None:
    for document in (text, FULL.replace("queue-scorer", text, 1), FULL[: len(text) * 5] + text):
        loaded_or_refused(document)


def test_a_pipeline_without_a_registry_uses_what_is_installed() -> None:
    assert load("plugins: [{type: queue-scorer}]").plugins["queue-scorer"] is not None
    assert type(load_pipeline(HEAD + SCORER).plugins["queue-scorer"]).__module__ == "turnout.plugins.queue_depth"
