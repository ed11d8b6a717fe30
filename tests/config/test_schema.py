from datetime import timedelta

from turnout.config.schema import OWN_FLOW_FIELDS, EndpointPickerConfig, FlowControl, without_nulls


def test_an_empty_document_has_the_fields_defaults() -> None:
    config = EndpointPickerConfig.model_validate({})
    assert (config.plugins, config.scheduling_profiles, config.data_layer, config.parser) == ([], [], None, None)


def test_quantities_and_durations_are_translated() -> None:
    section = FlowControl.model_validate({"maxBytes": "1Gi", "maxRequests": 7, "defaultRequestTTL": "1m30s"})
    assert (section.max_bytes, section.max_requests) == (1073741824, 7)
    assert section.default_request_ttl == timedelta(seconds=90)


def test_every_field_of_another_version_is_a_field() -> None:
    fields = {field.alias or name for name, field in FlowControl.model_fields.items()}
    assert fields >= set(OWN_FLOW_FIELDS) == {"strategy", "headOfLine", "lanes", "maxEvictedShare"}


def test_null_means_unset_except_within_parameters() -> None:
    data = {"parser": None, "plugins": [{"type": "a", "name": None, "parameters": {"x": None}}]}
    assert without_nulls(data) == {"plugins": [{"type": "a", "parameters": {"x": None}}]}  # type: ignore[arg-type]
