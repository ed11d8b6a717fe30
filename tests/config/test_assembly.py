from importlib.metadata import EntryPoint

import pytest

from config.fakes import HEAD, LoadProducer, LoadScorer, load, problems, warnings
from turnout.config import ConfigError, load_pipeline
from turnout.framework import Registry


@pytest.mark.parametrize(
    ("plugins", "found"),
    [
        pytest.param(
            "- type: queue-scorrer",
            ["4: plugins[0].type: unknown plugin type 'queue-scorrer'; did you mean 'queue-scorer'? accepted: "],
            id="an unknown type",
        ),
        pytest.param(
            "- type: by-label",
            ["4: plugins[0].type: 'by-label' is a known type of the field, not offered by any installed plugin; "],
            id="a type of the field that is not offered",
        ),
        pytest.param(
            "- type: missing-filter",
            ["4: plugins[0].type: plugin type 'missing-filter': cannot import config.fakes:NoSuchClass of"],
            id="an import that fails",
        ),
        pytest.param(
            "- type: queue-scorer\n- type: all-filter\n  name: queue-scorer",
            ["6: plugins[1].name: duplicate plugin name 'queue-scorer'; each name is used once"],
            id="two plugins of one name",
        ),
        pytest.param(
            "- type: broken-filter",
            ["4: plugins[0].parameters: the constructor failed: RuntimeError: no luck"],
            id="a constructor that raises",
        ),
        pytest.param(
            "- type: rule-filter\n  parameters:\n    rules: []\n    maxTTFTPenaltyMs: -1",
            ["5: plugins[0].parameters: maxTtftPenaltyMs must be at least 0, got -1.0"],
            id="a value that the constructor refuses, spelled as in the document",
        ),
        pytest.param(
            "- type: rule-filter\n  parameters:\n    rules: []\n    limits: {timeLimit: 2h}",
            ["5: plugins[0].parameters: limits.timeLimit must be at most an hour"],
            id="a field of a value that the constructor refuses",
        ),
        pytest.param(
            "- type: wrong-filter",
            ["4: plugins[0].type: plugin 'wrong-filter': filter() of a Filter takes (request, state, endpoints): "],
            id="a method with other parameters",
        ),
        pytest.param(
            "- type: nonsense\n- name: x\n- type: queue-scorer\n  parameters: {a: 1}",
            [
                "4: plugins[0].type: unknown plugin type 'nonsense'",
                "5: plugins[1]: the required field 'type' is missing",
                "7: plugins[2].parameters: the plugin accepts no parameters; remove them",
            ],
            id="three problems at once",
        ),
    ],
)
def test_a_plugin_that_cannot_be_built_is_a_problem(plugins: str, found: list[str]) -> None:
    lines = problems(f"plugins:\n{plugins}\n")
    assert [line[: len(start)] for line, start in zip(lines, found, strict=True)] == found


def test_a_plugin_that_cannot_be_built_makes_no_second_problem_where_it_is_named() -> None:
    body = "plugins:\n- {type: nonsense}\nschedulingProfiles:\n- name: a\n  plugins: [{pluginRef: nonsense}]\n"
    assert [line.partition(":")[0] for line in problems(body)] == ["4"]


def test_a_plugin_with_a_wrong_method_makes_no_second_problem_where_it_is_named() -> None:
    body = "plugins:\n- {type: wrong-filter}\nschedulingProfiles:\n- name: a\n  plugins: [{pluginRef: wrong-filter}]\n"
    assert [line.partition(":")[0] for line in problems(body)] == ["4"]


def test_an_empty_name_is_the_type() -> None:
    pipeline = load('plugins: [{type: queue-scorer, name: ""}]')
    assert "queue-scorer" in pipeline.plugins
    assert "  name: queue-scorer  # default\n" in pipeline.effective.to_yaml()


def test_two_distributions_that_offer_one_type_are_named() -> None:
    offered = Registry.from_entry_points(
        EntryPoint("queue-scorer", f"config.fakes:{target}", "turnout.plugins")
        for target in ("QueueScorer", "AllFilter")
    )
    with pytest.raises(ConfigError, match=r"plugins\[0\].type: plugin type 'queue-scorer': offered more than once"):
        load_pipeline(HEAD + "plugins: [{type: queue-scorer}]", registry=offered)


def test_an_import_that_raises_anything_is_a_problem() -> None:
    entry = EntryPoint("queue-scorer", "config.raises_on_import:X", "turnout.plugins")
    with pytest.raises(
        ConfigError,
        match=(r"cannot import config\.raises_on_import:X of an unknown distribution: RuntimeError: " r"raised by"),
    ):
        load_pipeline(HEAD + "plugins: [{type: queue-scorer}]", registry=Registry.from_entry_points([entry]))


def test_parameters_of_the_single_profile_handler_are_ignored_with_a_warning() -> None:
    body = "plugins: [{type: single-profile-handler, parameters: {a: 1}}, {type: queue-scorer}]"
    assert warnings(body) == ["3: plugins[0].parameters: parameters of single-profile-handler are ignored; remove them"]


def test_a_reload_keeps_the_plugins_that_did_not_change() -> None:
    first = load("plugins: [{type: load-scorer}, {type: max-score-picker, parameters: {maxNumOfEndpoints: 2}}]")
    same = load(
        "plugins: [{type: max-score-picker, parameters: {MaxNumOfEndpoints: 2}}, {type: load-scorer}]", previous=first
    )
    assert same.plugins.keys() == first.plugins.keys()
    assert all(same.plugins[name] is plugin for name, plugin in first.plugins.items())
    assert same.scheduler is not first.scheduler


def test_a_reload_builds_what_changed_anew() -> None:
    first = load("plugins: [{type: load-scorer, name: a}, {type: max-score-picker}]")
    changed = load(
        "plugins: [{type: load-scorer, name: b}, {type: max-score-picker, parameters: {maxNumOfEndpoints: 2}}]",
        previous=first,
    )
    assert isinstance(changed.plugins["b"], LoadScorer)
    assert changed.plugins["b"] is not first.plugins["a"]
    assert changed.plugins["max-score-picker"] is not first.plugins["max-score-picker"]
    assert changed.plugins["load-producer"] is first.plugins["load-producer"]


def test_a_reader_stays_when_the_producer_whose_key_it_reads_is_built_anew() -> None:
    first = load("plugins: [{type: load-scorer}, {type: load-producer}]")
    body = "plugins: [{type: load-scorer}, {type: other-producer, name: load-producer}]"
    second = load(body, previous=first, other_producer="LoadProducer")
    reader, writer = second.plugins["load-scorer"], second.plugins["load-producer"]
    assert reader is first.plugins["load-scorer"]
    assert writer is not first.plugins["load-producer"]
    assert isinstance(reader, LoadScorer)
    assert isinstance(writer, LoadProducer)
    assert reader.reads == writer.writes


def test_a_reload_that_fails_leaves_the_previous_pipeline_alone() -> None:
    first = load("plugins: [{type: load-scorer}]")
    before = dict(first.plugins)
    with pytest.raises(ConfigError):
        load("plugins: [{type: load-scorer}, {type: nonsense}]", previous=first)
    assert dict(first.plugins) == before
