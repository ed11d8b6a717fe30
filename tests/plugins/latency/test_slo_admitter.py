from dataclasses import replace

import pytest

from plugins.latency.predictions import pool, predicted
from turnout.framework import Endpoint, EndpointMetrics
from turnout.framework.testing import make_request
from turnout.plugins.latency.keys import SloTargets
from turnout.plugins.latency.slo_admitter import REFUSED, LatencySloAdmitter

BUSY = EndpointMetrics(running_requests=3, kv_cache_utilization=0.5)
LATE, IN_TIME = (2.0, 0.01), (0.5, 0.01)


@pytest.mark.parametrize(
    ("priority", "target", "times", "metrics", "refused"),
    [
        pytest.param(-1, 1.0, [LATE, LATE], BUSY, True, id="nobody is expected to meet the target"),
        pytest.param(-1, 1.0, [LATE, None], BUSY, True, id="nobody who is known"),
        pytest.param(0, 1.0, [LATE, LATE], BUSY, False, id="not sheddable"),
        pytest.param(-1, None, [LATE, LATE], BUSY, False, id="no target of its own"),
        pytest.param(-1, 1.0, [LATE, IN_TIME], BUSY, False, id="somebody is"),
        pytest.param(-1, 1.0, [None, None], BUSY, False, id="nothing is predicted"),
        pytest.param(-1, 1.0, [LATE, LATE], replace(BUSY, kv_cache_utilization=0.01), False, id="a cold endpoint"),
    ],
)
def test_a_sheddable_request_that_would_be_late_everywhere_is_refused(
    priority: int,
    target: float | None,
    times: list[tuple[float, float] | None],
    metrics: EndpointMetrics,
    refused: bool,
) -> None:
    endpoints, found = pool(*times)
    seen = [replace(endpoint, metrics=metrics) for endpoint in endpoints]
    assert _admitted(priority, target, found, seen) == (REFUSED if refused else None)


def test_an_idle_endpoint_lets_it_pass() -> None:
    endpoints, found = pool(LATE, LATE, in_flight=[2, 0])
    idle = replace(BUSY, running_requests=0)
    seen = [replace(endpoints[0], metrics=BUSY), replace(endpoints[1], metrics=idle)]
    assert _admitted(-1, 1.0, found, seen) is None
    assert _admitted(-1, 1.0, found, [seen[0], replace(seen[1], in_flight=1)]) == REFUSED


def _admitted(priority: int, target: float | None, found: dict, endpoints: list[Endpoint]) -> object:  # type: ignore[type-arg]
    request = replace(make_request(priority=priority), ttft_target=target)
    return LatencySloAdmitter().admit(request, predicted(found, SloTargets(target, None)), endpoints)
