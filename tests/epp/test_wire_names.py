import pytest

from turnout.epp.wire_names import CONTROL_HEADERS, DESTINATION, ROUTING_HEADERS
from turnout.plugins.affinity.scorers import AFFINITY_HEADER, ANTI_AFFINITY_HEADER
from turnout.plugins.carbon.clean_hours import DEFERRABLE_HEADER
from turnout.plugins.gang.handler import MEMBERS_HEADER
from turnout.plugins.prefix_cache.p2p_source import SOURCE_HEADER


def test_every_header_that_names_an_endpoint_is_a_control_header() -> None:
    assert DESTINATION in ROUTING_HEADERS
    assert set(ROUTING_HEADERS) < CONTROL_HEADERS
    assert len(CONTROL_HEADERS) == 31


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(SOURCE_HEADER, id="where cached blocks come from"),
        pytest.param("x-prefiller-host-port", id="where the prompt is computed"),
        pytest.param("x-encoder-hosts-ports", id="where images are encoded"),
        pytest.param("x-data-parallel-host-port", id="the rank"),
        pytest.param(MEMBERS_HEADER, id="the endpoints that work on the request together"),
    ],
)
def test_a_header_that_tells_an_engine_whom_to_ask_is_for_the_picker_to_set(name: str) -> None:
    assert name in ROUTING_HEADERS


@pytest.mark.parametrize("name", [AFFINITY_HEADER, ANTI_AFFINITY_HEADER, DEFERRABLE_HEADER, "x-turnout-origin"])
def test_what_a_client_tells_plugins_of_the_picker_is_not_for_the_engine(name: str) -> None:
    assert name in CONTROL_HEADERS


def test_names_are_lower_case_as_envoy_sends_them() -> None:
    assert {name for name in CONTROL_HEADERS if name != name.lower()} == set()
