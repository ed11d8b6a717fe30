from turnout.config import catalogue


def test_the_table_knows_every_type_that_defaults_name() -> None:
    named = {
        *catalogue.DEFAULT_PARSERS,
        *catalogue.DEFAULT_FLOW_POLICIES,
        catalogue.DEFAULT_DETECTOR,
        catalogue.DEFAULT_EVICTION_ORDER,
        catalogue.DEFAULT_EVICTION_FILTER,
        catalogue.DEFAULT_PICKER,
        catalogue.DEFAULT_SOURCE,
        catalogue.DEFAULT_EXTRACTOR,
        catalogue.SINGLE_PROFILE_HANDLER,
        catalogue.IN_FLIGHT_PRODUCER,
    }
    assert named <= catalogue.KNOWN_TYPES
    assert catalogue.IGNORES_PARAMETERS <= catalogue.KNOWN_TYPES
    assert catalogue.FLOW_CONTROL_GATE in catalogue.FEATURE_GATES


def test_the_table_holds_the_whole_catalogue_of_the_field() -> None:
    assert len(catalogue.KNOWN_TYPES) == 97
