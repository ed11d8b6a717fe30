from dataclasses import FrozenInstanceError
from math import inf

import pytest

from turnout.framework import AttributeKey, Endpoint, EndpointMetrics
from turnout.framework.testing import make_endpoint


@pytest.mark.parametrize(
    ("address", "host_port"),
    [
        pytest.param("10.0.0.1", "10.0.0.1:8000", id="IPv4"),
        pytest.param("fd00::1", "[fd00::1]:8000", id="IPv6 in brackets"),
    ],
)
def test_host_and_port_are_spelled_as_a_destination(address: str, host_port: str) -> None:
    assert Endpoint("default/a", address, 8000).host_port == host_port


@pytest.mark.parametrize(
    ("now", "age"),
    [pytest.param(12.5, 2.5, id="later"), pytest.param(9.0, 0.0, id="a clock behind the reading is not negative")],
)
def test_the_age_of_a_value_is_the_time_since_it_was_read(now: float, age: float) -> None:
    assert EndpointMetrics(observed_at={"running_requests": 10.0}).age("running_requests", now) == age


def test_a_value_that_was_never_read_is_infinitely_old() -> None:
    assert EndpointMetrics().age("running_requests", 5.0) == inf


def test_attributes_are_found_by_their_key_and_not_by_its_name() -> None:
    key, namesake = AttributeKey[str]("zone"), AttributeKey[str]("zone")
    endpoint = Endpoint("default/a", "10.0.0.1", 8000, attributes={key: "west"})
    assert endpoint.attribute(key) == "west"
    assert endpoint.attribute(namesake) is None
    assert repr(key) == "AttributeKey('zone')"


def test_an_endpoint_cannot_be_changed() -> None:
    endpoint = Endpoint("default/a", "10.0.0.1", 8000)
    with pytest.raises(FrozenInstanceError):
        endpoint.port = 1  # type: ignore[misc]
    with pytest.raises(TypeError):
        endpoint.labels["a"] = "b"  # type: ignore[index]


def test_an_endpoint_with_more_requests_has_them_in_flight_and_waiting() -> None:
    endpoint = make_endpoint("a", waiting=2, running=5, in_flight=3)
    loaded = endpoint.with_more_requests(2)
    assert (loaded.in_flight, loaded.metrics.waiting_queue_size, loaded.metrics.running_requests) == (5, 4, 5)
    assert (endpoint.in_flight, loaded.name, loaded.host_port) == (3, endpoint.name, endpoint.host_port)
