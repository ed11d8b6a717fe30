import pytest

from turnout.config.document import Value
from turnout.config.problems import Report
from turnout.config.schema import EndpointPickerConfig, PluginSpec
from turnout.config.shape import REPAIRED, check_shape, field_names, salvage


@pytest.mark.parametrize(
    ("data", "found"),
    [
        pytest.param({"plugins": "x"}, ["1: plugins: is 'x'; accepted: a list"], id="text for a list"),
        pytest.param({"plugins": [7]}, ["1: plugins[0]: is 7; accepted: a mapping"], id="a number for a mapping"),
        pytest.param(
            {"plugins": [{}]},
            ["1: plugins[0]: the required field 'type' is missing; accepted: name, parameters, type"],
            id="a missing field",
        ),
        pytest.param(
            {"plugins": [{"type": "a", "nmae": "b"}]},
            ["1: plugins[0].nmae: unknown field; did you mean 'name'? accepted: name, parameters, type"],
            id="a misspelt field",
        ),
        pytest.param(
            {"plugins": [{"type": ""}]},
            ["1: plugins[0].type: is empty; accepted: text of at least one character"],
            id="empty text",
        ),
        pytest.param(
            {"kind": "Pod"}, ["1: kind: 'Pod' is not accepted; accepted: 'EndpointPickerConfig'"], id="another kind"
        ),
        pytest.param(
            {"dataLayer": {"injectDefaults": "yes"}},
            ["1: dataLayer.injectDefaults: is 'yes'; accepted: true or false"],
            id="a word for a boolean",
        ),
        pytest.param(
            {"flowControl": {"maxBytes": "-1", "defaultRequestTTL": 5, "priorityBands": [{"priority": 1.5}]}},
            [
                "1: flowControl.maxBytes: '-1' is negative; accepted: 0 or more",
                (
                    "1: flowControl.defaultRequestTTL: 5 is not a duration; "
                    "a duration in Go syntax, such as 200ms, 30s or 1m30s"
                ),
                "1: flowControl.priorityBands[0].priority: is 1.5; accepted: a whole number",
            ],
            id="several at once",
        ),
    ],
)
def test_a_misfit_is_said_in_the_words_of_the_document(data: dict[str, Value], found: list[str]) -> None:
    report = Report({})
    assert check_shape(EndpointPickerConfig, data, report) is None
    assert sorted(map(str, report.problems)) == sorted(found)


def test_the_rest_of_a_document_survives_its_misfits_in_place() -> None:
    report = Report({})
    data: dict[str, Value] = {
        "x": 1,
        "featureGates": [5, "a"],
        "plugins": [7, {"type": "b", "parameters": 5}, {"name": "c"}],
        "schedulingProfiles": [{"name": "p", "plugins": [{"pluginRef": "b", "weight": "heavy"}]}],
    }
    salvaged = salvage(EndpointPickerConfig, data, report)
    assert salvaged is not None
    config, repaired = salvaged
    assert [spec.type for spec in config.plugins] == [REPAIRED, "b", REPAIRED]
    assert config.feature_gates == [REPAIRED, "a"]
    assert config.scheduling_profiles[0].plugins[0].weight is None
    assert repaired["plugins"] == [{"type": REPAIRED}, {"type": "b"}, {"name": "c", "type": REPAIRED}]
    assert len(report.problems) == 6
    assert data["plugins"] == [7, {"type": "b", "parameters": 5}, {"name": "c"}]


def test_fields_are_listed_as_documents_spell_them() -> None:
    assert field_names(PluginSpec) == ["type", "name", "parameters"]
