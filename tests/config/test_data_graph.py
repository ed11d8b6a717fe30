import pytest

from config import flow_fakes
from config.fakes import HEAD, load, problems, warnings
from turnout.config import Pipeline


def stages(pipeline: Pipeline) -> list[list[str]]:
    return [[named.name for named in stage] for stage in pipeline.producer_stages]


def test_missing_producers_appear_with_what_they_read_in_turn() -> None:
    pipeline = load("plugins: [{type: load-scorer}]", "inflight-load-producer")
    assert stages(pipeline) == [["token-maker"], ["load-producer"]]
    assert {"plugins[4]", "plugins[5]"} <= set(pipeline.effective.to_json()["injected"])  # type: ignore[call-overload]


def test_producers_that_do_not_depend_on_each_other_share_a_stage() -> None:
    body = (
        "plugins: [{type: load-scorer, parameters: {producerName: mine}}, {type: "
        "load-producer, name: mine}, {type: eager-producer}]"
    )
    assert stages(load(body)) == [["inflight-load-producer", "token-maker"], ["mine", "eager-producer"]]


def test_an_optional_read_makes_no_producer() -> None:
    assert stages(load("plugins: [{type: eager-producer}]", "inflight-load-producer")) == [["eager-producer"]]


def test_an_optional_read_yields_where_it_would_close_a_cycle() -> None:
    body = "plugins: [{type: tokens-from-left}, {type: left-from-tokens}]"
    pipeline = load(
        body, "inflight-load-producer", tokens_from_left="TokensFromLeft", left_from_tokens="LeftFromTokens"
    )
    assert stages(pipeline) == [["tokens-from-left"], ["left-from-tokens"]]


def test_in_flight_accounting_is_always_on_and_only_once() -> None:
    assert "inflight-load-producer" in load("plugins: [{type: queue-scorer}]").plugins
    renamed = load("plugins: [{type: inflight-load-producer, name: mine}]")
    assert "inflight-load-producer" not in renamed.plugins
    assert "inflight-load-producer" not in load("plugins: [{type: queue-scorer}]", "inflight-load-producer").plugins


@pytest.mark.parametrize(
    ("plugins", "found"),
    [
        pytest.param(
            "- type: orphan-scorer",
            [
                (
                    "4: plugins[0]: plugin 'orphan-scorer' reads 'orphan', which no plugin writes; add a "
                    "plugin that writes it"
                )
            ],
            id="a key without a producer",
        ),
        pytest.param(
            "- type: load-scorer\n  parameters: {producerName: laod}\n- type: load-producer\n  name: load",
            [
                (
                    "4: plugins[0]: plugin 'load-scorer' reads 'load', which no plugin writes; there is "
                    "no plugin 'laod'; "
                    "did you mean 'load'? accepted: load"
                )
            ],
            id="a producer of another name",
        ),
        pytest.param(
            "- type: load-scorer\n  parameters: {producerName: queue-scorer}\n- type: queue-scorer",
            [
                (
                    "4: plugins[0]: plugin 'load-scorer' reads 'load', which 'queue-scorer' does not write; "
                    "add a plugin that writes it"
                )
            ],
            id="a plugin that is no producer of it",
        ),
        pytest.param(
            "- type: early-scorer",
            ["4: plugins[0]: plugin 'early-scorer' reads 'late' before 'late-writer' writes it"],
            id="a writer that runs later",
        ),
        pytest.param(
            "- type: left-scorer\n- type: load-scorer",
            [
                (
                    "3: plugins: data producers wait for each other: left-producer -> right-producer -> left-producer; "
                    "the keys they read: left, right; accepted: producers without a cycle"
                )
            ],
            id="a cycle",
        ),
        pytest.param(
            "- type: sloppy-scorer",
            ["4: plugins[0]: plugin 'sloppy-scorer': its attribute 'reads' is no tuple of StateKey"],
            id="a declaration of another type",
        ),
        pytest.param(
            "- type: load-scorer\n- type: load-producer\n  parameters: {a: 1}",
            ["6: plugins[1].parameters: the plugin accepts no parameters; remove them"],
            id="a producer that could not be built is the only problem",
        ),
    ],
)
def test_a_read_that_cannot_be_satisfied_is_a_problem(plugins: str, found: list[str]) -> None:
    assert problems(f"plugins:\n{plugins}\n") == found


@pytest.mark.parametrize(
    ("plugins", "found"),
    [
        pytest.param(
            "- type: hungry-order",
            ["4: plugins[0]: plugin 'hungry-order' reads 'load' before 'load-producer' writes it"],
            id="a policy of the queue that reads what a producer writes",
        ),
        pytest.param(
            "- type: hungry-classifier",
            ["4: plugins[0]: plugin 'hungry-classifier' reads 'load' before 'load-producer' writes it"],
            id="a classifier that does",
        ),
        pytest.param(
            "- type: hungry-counter",
            ["4: plugins[0]: plugin 'hungry-counter' reads 'load' before 'load-producer' writes it"],
            id="one that hears of refusals, which may come earlier",
        ),
        pytest.param(
            "- type: late-order\n- type: quick-producer\n  name: late-writer",
            ["4: plugins[0]: plugin 'late-order' reads 'late' before 'late-writer' writes it"],
            id="a writer that is asked in the queue and writes later",
        ),
        pytest.param("- type: tier-order", [], id="a policy of the queue that reads what a classifier writes"),
        pytest.param("- type: concurrency-detector", [], id="a detector that reads when it accounts for a dispatch"),
        pytest.param(
            "- type: early-scorer\n- type: quick-producer\n  name: late-writer",
            [],
            id="a scorer that reads what a policy of the queue writes as a producer",
        ),
    ],
)
def test_what_runs_before_the_producers_reads_what_is_there(plugins: str, found: list[str]) -> None:
    assert flow_fakes.problems(f"plugins:\n{plugins}\n", head=HEAD) == found


def test_a_policy_that_reads_later_makes_the_producer_of_its_key() -> None:
    pipeline = flow_fakes.load("plugins: [{type: concurrency-detector}]", "inflight-load-producer")
    assert stages(pipeline) == [["token-maker"], ["load-producer"]]


@pytest.mark.parametrize(
    ("plugins", "found"),
    [
        pytest.param("- type: content-scorer", [], id="nobody is configured who would write it"),
        pytest.param("- type: content-scorer\n- type: load-producer", [], id="somebody writes it"),
        pytest.param(
            "- type: content-scorer\n  parameters: {producerName: laod}",
            ["4: plugins[0]: plugin 'content-scorer' goes without 'load': 'laod' writes none"],
            id="a name that nobody has",
        ),
        pytest.param(
            "- type: content-scorer\n- type: load-producer\n  name: mine",
            [
                (
                    "4: plugins[0]: plugin 'content-scorer' goes without 'load': 'load-producer' writes none; "
                    "accepted: mine"
                )
            ],
            id="a producer of another name",
        ),
        pytest.param(
            "- type: content-scorer\n  parameters: {producerName: queue-scorer}\n- type: queue-scorer",
            ["4: plugins[0]: plugin 'content-scorer' goes without 'load': 'queue-scorer' writes none"],
            id="a plugin that is no producer of it",
        ),
        pytest.param(
            "- type: either-scorer\n- type: load-producer\n  name: second", [], id="the second of two that would do"
        ),
        pytest.param(
            "- type: either-scorer\n- type: load-producer",
            [
                "4: plugins[0]: plugin 'either-scorer' goes without 'load': "
                f"'{name}' writes none; accepted: load-producer"
                for name in ("first", "second")
            ],
            id="neither of two that would do",
        ),
    ],
)
def test_an_optional_read_that_somebody_meant_is_warned_of(plugins: str, found: list[str]) -> None:
    assert warnings(f"plugins:\n{plugins}") == found


def test_reading_the_prompt_without_a_parser_of_bodies_is_warned_of() -> None:
    body = "plugins: [{type: prompt-scorer}]\nrequestHandler: {parsers: [{pluginRef: passthrough-parser}]}"
    assert warnings(body) == [
        (
            "3: plugins[0]: plugin 'prompt-scorer' reads the prompt, and no configured parser reads bodies; "
            "add a parser such as openai-parser"
        )
    ]
    assert warnings("plugins: [{type: prompt-scorer}]") == []
