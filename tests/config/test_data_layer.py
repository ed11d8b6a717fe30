import pytest

from config.fakes import load, problems, warnings
from turnout.config import Pipeline


def sources(pipeline: Pipeline) -> list[tuple[str, list[str]]]:
    return [(binding.source.name, [named.name for named in binding.extractors]) for binding in pipeline.sources]


SCORER = "plugins: [{type: queue-scorer}]\n"


@pytest.mark.parametrize(
    ("body", "found"),
    [
        pytest.param(SCORER, [("metrics-data-source", ["core-metrics-extractor"])], id="injected when there is none"),
        pytest.param(SCORER + "dataLayer: {injectDefaults: false}", [], id="not injected when unwanted"),
        pytest.param(
            "plugins: [{type: metrics-data-source, name: mine}, {type: core-metrics-extractor}]\n"
            "dataLayer: {sources: [{pluginRef: mine, extractors: [{pluginRef: core-metrics-extractor}]}]}",
            [("mine", ["core-metrics-extractor"])],
            id="not doubled under another name",
        ),
        pytest.param(
            "plugins: [{type: metrics-data-source, name: mine}]\n",
            [("mine", ["core-metrics-extractor"])],
            id="a listed plugin of the type is used",
        ),
        pytest.param(
            "plugins: [{type: page-source}]\ndataLayer: {sources: [{pluginRef: page-source}]}",
            [("page-source", []), ("metrics-data-source", ["core-metrics-extractor"])],
            id="added behind another source",
        ),
    ],
)
def test_sources_are(body: str, found: list[tuple[str, list[str]]]) -> None:
    assert sources(load(body, page_source="Source")) == found


LISTENING = """
plugins: [{type: endpoint-notification-source}, {type: listener}, {type: queue-scorer}]
dataLayer: {sources: [{pluginRef: endpoint-notification-source, extractors: [{pluginRef: %s}]}]}
"""


def test_who_is_listed_under_the_notification_source_hears_of_endpoints_as_all_that_can_do() -> None:
    pipeline = load(LISTENING % "listener", endpoint_notification_source="Notifications", listener="Listener")
    assert [named.name for named in pipeline.watchers] == ["listener"]
    assert sources(pipeline) == [("metrics-data-source", ["core-metrics-extractor"])]


def test_who_cannot_hear_of_endpoints_is_no_extractor_of_the_notification_source() -> None:
    found = problems(LISTENING % "queue-scorer", endpoint_notification_source="Notifications", listener="Listener")
    assert found == [
        (
            "5: dataLayer.sources[0].extractors[0].pluginRef: plugin 'queue-scorer' is no EndpointWatcher; "
            "accepted: listener"
        )
    ]


def test_nothing_is_injected_that_is_not_on_offer() -> None:
    assert sources(load(SCORER, "metrics-data-source")) == []
    assert sources(load(SCORER, "core-metrics-extractor")) == []


def test_the_named_discovery_is_used() -> None:
    body = (
        "plugins: [{type: file-discovery, parameters: {path: /a}}]\ndataLayer: {discovery: {pluginRef: file-discovery}}"
    )
    discovery = load(body).discovery
    assert discovery is not None
    assert discovery.name == "file-discovery"
    assert load(SCORER).discovery is None


@pytest.mark.parametrize(
    ("layer", "found"),
    [
        pytest.param(
            "discovery: {pluginRef: queue-scorer}",
            (
                "5: dataLayer.discovery.pluginRef: plugin 'queue-scorer' is no EndpointDiscovery; "
                "there is none that could be named"
            ),
            id="a discovery that is none",
        ),
        pytest.param(
            "sources: [{pluginRef: queue-scorer}]",
            "5: dataLayer.sources[0].pluginRef: plugin 'queue-scorer' is no DataSource; accepted: metrics-data-source",
            id="a source that is none",
        ),
        pytest.param(
            "sources: [{pluginRef: metrics-data-source, extractors: [{pluginRef: queue-scorer}]}]",
            (
                "5: dataLayer.sources[0].extractors[0].pluginRef: plugin 'queue-scorer' is no "
                "Extractor; there is none that could be named"
            ),
            id="an extractor that is none",
        ),
        pytest.param(
            "sources: [{pluginRef: metrics-data-source}, {pluginRef: metrics-data-source}]",
            (
                "5: dataLayer.sources[1].pluginRef: the source 'metrics-data-source' is listed twice; "
                "list all its extractors in one entry"
            ),
            id="a source listed twice",
        ),
        pytest.param(
            "sources: [{pluginRef: nothing}]",
            (
                "5: dataLayer.sources[0].pluginRef: 'nothing' names no entry of plugins; accepted: "
                "metrics-data-source, queue-scorer"
            ),
            id="a source that is not listed",
        ),
        pytest.param(
            "peerDiscovery: {pluginRef: queue-scorer}",
            "5: dataLayer.peerDiscovery: is not available in this version; remove it",
            id="peer discovery",
        ),
        pytest.param(
            "crossReplicaSyncerPluginRef: a",
            "5: dataLayer.crossReplicaSyncerPluginRef: is not available in this version; remove it",
            id="a syncer",
        ),
        pytest.param(
            "crossReplicaSyncInterval: 5",
            (
                "5: dataLayer.crossReplicaSyncInterval: 5 is not a duration; a duration in Go syntax, "
                "such as 200ms, 30s or 1m30s"
            ),
            id="an interval without a unit",
        ),
    ],
)
def test_a_wrong_data_layer_is_a_problem(layer: str, found: str) -> None:
    body = f"plugins: [{{type: queue-scorer}}, {{type: metrics-data-source}}]\ndataLayer:\n  {layer}\n"
    assert problems(body) == [found]


def test_the_parsers_on_offer_are_the_default_in_their_order() -> None:
    assert [named.name for named in load(SCORER).parsers] == ["openai-parser", "passthrough-parser"]
    assert [named.name for named in load(SCORER, anthropic_parser="BodyParser").parsers] == [
        "openai-parser",
        "anthropic-parser",
        "passthrough-parser",
    ]
    assert [named.name for named in load(SCORER, "passthrough-parser").parsers] == ["openai-parser"]


def test_a_named_parser_need_not_be_listed() -> None:
    body = SCORER + "requestHandler: {parsers: [{pluginRef: passthrough-parser}]}"
    assert [named.name for named in load(body).parsers] == ["passthrough-parser"]


def test_the_deprecated_parser_field_counts_when_there_is_no_other() -> None:
    assert [named.name for named in load(SCORER + "parser: {pluginRef: passthrough-parser}").parsers] == [
        "passthrough-parser"
    ]
    assert warnings(SCORER + "parser: {pluginRef: passthrough-parser}") == [
        "4: parser: is deprecated; write requestHandler.parsers"
    ]
    both = SCORER + "parser: {pluginRef: passthrough-parser}\nrequestHandler: {parsers: [{pluginRef: openai-parser}]}"
    assert [named.name for named in load(both).parsers] == ["openai-parser"]
    assert warnings(both) == [
        "4: parser: is deprecated and is ignored beside requestHandler.parsers; write requestHandler.parsers"
    ]


def test_parsers_that_would_never_be_asked_are_left_out_with_a_warning() -> None:
    body = (
        "plugins: [{type: openai-parser, name: again}]\nrequestHandler:\n  parsers:\n"
        "  - pluginRef: openai-parser\n  - pluginRef: again\n"
        "  - pluginRef: passthrough-parser\n  - pluginRef: other-parser\n"
    )
    assert [named.name for named in load(body, other_parser="BodyParser").parsers] == [
        "openai-parser",
        "passthrough-parser",
    ]
    assert warnings(body, other_parser="BodyParser") == [
        "7: requestHandler.parsers[1].pluginRef: a second parser of type 'openai-parser' is ignored",
        (
            "9: requestHandler.parsers[3].pluginRef: parser 'other-parser' comes after "
            "'passthrough-parser', which takes the rest"
        ),
    ]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        (
            "vllmgrpc-parser",
            (
                "'vllmgrpc-parser' is a known type of the field, not offered by any installed plugin; "
                "install a distribution that offers it, or remove it"
            ),
        ),
        (
            "openapi-parser",
            "'openapi-parser' names no entry of plugins; did you mean 'openai-parser'? accepted: queue-scorer",
        ),
        ("queue-scorer", "plugin 'queue-scorer' is no Parser; there is none that could be named"),
    ],
)
def test_a_parser_that_cannot_be_had_is_a_problem(name: str, found: str) -> None:
    body = SCORER + f"requestHandler:\n  parsers: [{{pluginRef: {name}}}]\n"
    assert problems(body) == [f"5: requestHandler.parsers[0].pluginRef: {found}"]
