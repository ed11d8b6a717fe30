import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.fakes import load, registry
from turnout.config import load_pipeline
from turnout.config.document import read_document
from turnout.config.effective import Effective

FILE = """\
plugins:
- type: queue-scorer
- type: rule-filter
  name: rules
  parameters:
    rules: [{key: a, values: [x, "yes", "1.5"]}]
    limits: {RETRIES: 2}
    labels: {}
schedulingProfiles:
- name: main
  plugins: [{pluginRef: rules}, {pluginRef: queue-scorer}]
"""

PRINTED = """\
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- type: queue-scorer
  name: queue-scorer  # default
- type: rule-filter
  name: rules
  parameters:
    rules:
    - key: a
      values:
      - x
      - "yes"
      - "1.5"
      operator: In  # default
      atMost: 9  # default
    limits:
      RETRIES: 2
      timeLimit: "5s"  # default
    labels: {}
    maxTtftPenaltyMs: 18000.0  # default
- type: single-profile-handler  # default
  name: single-profile-handler  # default
- type: max-score-picker  # default
  name: max-score-picker  # default
  parameters:  # default
    maxNumOfEndpoints: 1  # default
schedulingProfiles:
- name: main
  plugins:
  - pluginRef: rules
  - pluginRef: queue-scorer
    weight: 1.0  # default
  - pluginRef: max-score-picker  # default
featureGates:  # default
- "flowControl=false"  # default
- "haPopulateNonLeaderDatastore=true"  # default
requestHandler:  # default
  parsers: []  # default
"""

BARE = ("inflight-load-producer", "openai-parser", "passthrough-parser", "metrics-data-source")


def test_every_injected_default_is_marked() -> None:
    assert load(FILE, *BARE).effective.to_yaml() == PRINTED


def test_machines_get_the_paths_of_what_was_injected() -> None:
    found = load(
        "plugins: [{type: queue-scorer, name: a}]", *BARE, head="kind: EndpointPickerConfig\n"
    ).effective.to_json()
    assert found["injected"] == [
        "apiVersion",
        "featureGates",
        "plugins[1]",
        "plugins[1].name",
        "plugins[2]",
        "plugins[2].name",
        "plugins[2].parameters",
        "plugins[2].parameters.maxNumOfEndpoints",
        "requestHandler",
        "requestHandler.parsers",
        "schedulingProfiles",
        "schedulingProfiles[0].plugins[0].weight",
        "schedulingProfiles[0].plugins[1]",
    ]
    assert found["warnings"] == ["1: document: apiVersion is missing; taken as llm-d.ai/v1alpha1"]
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(FILE, id="a file with parameters"),
        pytest.param("plugins: [{type: load-scorer}]", id="a file of one plugin"),
        pytest.param(
            "plugins: [{type: queue-scorer}]\nparser: {pluginRef: passthrough-parser}", id="a deprecated field"
        ),
    ],
)
def test_what_is_printed_loads_to_the_same_pipeline(body: str) -> None:
    first = load(body)
    again = load_pipeline(first.effective.to_yaml(), registry=registry(), previous=first)
    assert again.effective.config == first.effective.config
    assert again.effective.injected == frozenset()
    assert all(again.plugins[name] is plugin for name, plugin in first.plugins.items())
    assert list(again.plugins) == list(first.plugins)
    assert again.scheduler.profiles == first.scheduler.profiles
    assert again.producer_stages == first.producer_stages
    assert (again.parsers, again.sources, again.response_complete) == (
        first.parsers,
        first.sources,
        first.response_complete,
    )


texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=30)
scalars = st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False) | texts
trees = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=20
)


@given(st.dictionaries(texts, trees, min_size=1, max_size=3))
def test_any_tree_is_printed_as_yaml_that_reads_the_same(config: dict[str, object]) -> None:
    printed = Effective(config, frozenset()).to_yaml()  # type: ignore[arg-type]
    assert read_document(printed, "x").data == config
