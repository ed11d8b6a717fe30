from turnout.epp.wire_names import CONTROL_HEADERS, DESTINATION, ROUTING_HEADERS


def test_every_header_that_names_an_endpoint_is_a_control_header() -> None:
    assert DESTINATION in ROUTING_HEADERS
    assert set(ROUTING_HEADERS) < CONTROL_HEADERS
    assert len(CONTROL_HEADERS) == 22


def test_names_are_lower_case_as_envoy_sends_them() -> None:
    assert {name for name in CONTROL_HEADERS if name != name.lower()} == set()
