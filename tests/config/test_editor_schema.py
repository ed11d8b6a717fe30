import json
from importlib.metadata import EntryPoint

from config.fakes import registry
from turnout.config import json_schema
from turnout.framework import Registry


def offering(target: str) -> Registry:
    return Registry.from_entry_points([EntryPoint("mine", f"config.fakes:{target}", "turnout.plugins")])


def test_the_parameters_of_a_plugin_are_described() -> None:
    definitions = json_schema(offering("RuleFilter"))["$defs"]
    assert isinstance(definitions, dict)
    mine = definitions["mine"]
    assert mine["required"] == ["rules"]
    assert sorted(mine["properties"]) == ["labels", "limits", "maxTtftPenaltyMs", "rules"]
    assert mine["properties"]["rules"]["items"] == {"$ref": "#/$defs/mine/$defs/Rule"}
    assert mine["$defs"]["Limits"]["properties"]["timeLimit"]["format"] == "go-duration"


def test_types_on_offer_are_listed_and_their_parameters_chosen_by_type() -> None:
    definitions = json_schema(offering("FirstPicker"))["$defs"]
    assert isinstance(definitions, dict)
    spec = definitions["PluginSpec"]
    assert spec["properties"]["type"]["enum"] == ["mine"]
    assert spec["allOf"] == [
        {
            "if": {"properties": {"type": {"const": "mine"}}, "required": ["type"]},
            "then": {"properties": {"parameters": {"$ref": "#/$defs/mine"}}},
        }
    ]


def test_a_type_that_cannot_be_imported_is_listed_without_parameters() -> None:
    definitions = json_schema(offering("NoSuchClass"))["$defs"]
    assert isinstance(definitions, dict)
    assert definitions["mine"] == {"type": "object"}


def test_every_reference_of_the_schema_leads_somewhere() -> None:
    for offered in (registry(), Registry.from_entry_points()):
        schema = json_schema(offered)
        references = {part.split('"')[0] for part in json.dumps(schema).split('"$ref": "')[1:]}
        assert len(references) > 5
        for reference in references:
            place: object = schema
            for step in reference.removeprefix("#/").split("/"):
                assert isinstance(place, dict)
                place = place[step]
