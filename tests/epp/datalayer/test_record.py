import pytest

from turnout.epp.datalayer.health import HealthPolicy
from turnout.epp.datalayer.record import METRICS_PORT, Record
from turnout.framework import EndpointMetrics, EndpointSpec


def record(metrics_port: int | None = None) -> Record:
    spec = EndpointSpec("default/a", "10.0.0.1", 8000, {"role": "decode"}, rank=2, metrics_port=metrics_port)
    return Record(spec, HealthPolicy())


def test_the_endpoint_is_what_discovery_says() -> None:
    endpoint = record(9090).endpoint
    assert (endpoint.name, endpoint.host_port, endpoint.rank) == ("default/a", "10.0.0.1:8000", 2)
    assert endpoint.labels == {"role": "decode"}
    assert endpoint.attribute(METRICS_PORT) == 9090
    assert record().endpoint.attribute(METRICS_PORT) is None


@pytest.mark.parametrize(
    ("in_flight", "running", "waiting", "expected"),
    [
        pytest.param(0, 0, 0, 0, id="idle"),
        pytest.param(5, 0, 0, 5, id="nothing reported yet"),
        pytest.param(5, 2, 1, 3, id="two not reported yet"),
        pytest.param(3, 2, 1, 1, id="all reported"),
        pytest.param(1, 8, 4, 4, id="requests of other routers"),
    ],
)
def test_requests_that_the_engine_cannot_have_reported_count_as_waiting(
    in_flight: int, running: int, waiting: int, expected: int
) -> None:
    one = record()
    one.reported = EndpointMetrics(
        waiting, running, 0.5, frozenset("a"), frozenset("b"), 3, 16, 100, 9.0, 4.0, 2.0, 0.5, {"c": 1.0}
    )
    one.in_flight = in_flight
    endpoint = one.rebuild()
    assert endpoint.in_flight == in_flight
    assert endpoint.metrics == EndpointMetrics(
        expected, running, 0.5, frozenset("a"), frozenset("b"), 3, 16, 100, 9.0, 4.0, 2.0, 0.5, {"c": 1.0}
    )


def test_problems_are_told_together() -> None:
    one = record()
    assert one.problem() == ""
    one.scrape_problem, one.request_problem = "status 500", "requests fail"
    assert one.problem() == "status 500; requests fail"
