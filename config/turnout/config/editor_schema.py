"""JSON Schema of the document, for editors and documentation; as exact as the plugins on offer can be read."""

from collections.abc import Mapping
from typing import Any

from pydantic.json_schema import models_json_schema

from turnout.config.parameters import UnreadableParametersError, parameters_of
from turnout.config.schema import EndpointPickerConfig
from turnout.framework import PluginLoadError, Registry

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema(registry: Registry) -> dict[str, object]:
    """The schema of an EndpointPickerConfig, with the parameters of each plugin type that the registry offers.

    Imports every type; one that cannot be imported or read is listed without its parameters.
    """
    schema: dict[str, Any] = EndpointPickerConfig.model_json_schema()
    definitions = schema["$defs"]
    plugin = definitions["PluginSpec"]
    plugin["properties"]["type"] = {"type": "string", "enum": registry.names()}
    branches = []
    for plugin_type in registry.names():
        parameters = _parameters_schema(registry, plugin_type)
        definitions[plugin_type] = parameters
        condition = {"properties": {"type": {"const": plugin_type}}, "required": ["type"]}
        outcome = {"properties": {"parameters": {"$ref": f"#/$defs/{plugin_type}"}}}
        branches.append({"if": condition, "then": outcome})
    plugin["allOf"] = branches
    return {"$schema": DIALECT, **schema}


def _parameters_schema(registry: Registry, plugin_type: str) -> Mapping[str, object]:
    try:
        model = parameters_of(registry.load(plugin_type)).model
    except (PluginLoadError, UnreadableParametersError):
        return {"type": "object"}
    template = f"#/$defs/{plugin_type}/$defs/{{model}}"
    _, schema = models_json_schema([(model, "validation")], ref_template=template)
    nested = schema["$defs"]
    return {**nested.pop(model.__name__), "$defs": nested}
