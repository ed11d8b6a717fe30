import math
from collections import Counter

from turnout.epp.demo.overload.workload import LEVELS, TENANTS, Arrival, arrivals

# Six standard deviations of a Poisson or binomial count either way.
SIGMAS = 6


def about(count: int, expected: float) -> bool:
    return abs(count - expected) < SIGMAS * math.sqrt(expected)


def test_a_seed_decides_everything() -> None:
    assert arrivals(7, 20.0, 10.0) == arrivals(7, 20.0, 10.0)
    assert arrivals(7, 20.0, 10.0) != arrivals(8, 20.0, 10.0)


def test_requests_come_at_their_rate_in_order_and_within_the_duration() -> None:
    found = arrivals(1, 50.0, 100.0)
    times = [request.at for request in found]
    assert times == sorted(times)
    assert 0.0 < times[0] < times[-1] < 100.0
    assert about(len(found), 5_000.0)


def test_levels_and_tenants_have_their_shares() -> None:
    found = arrivals(1, 50.0, 100.0)
    levels, tenants = Counter(request.level for request in found), Counter(request.tenant for request in found)
    assert all(about(levels[level], share * len(found)) for level, share in LEVELS.items())
    assert all(about(tenants[tenant], share * len(found)) for tenant, share in TENANTS.items())
    assert abs(sum(LEVELS.values()) - 1.0) < 1e-9


def test_a_faster_workload_is_the_same_requests_closer_together() -> None:
    slow, fast = arrivals(3, 10.0, 50.0), arrivals(3, 20.0, 25.0)
    assert [_but_time(request) for request in slow] == [_but_time(request) for request in fast]
    assert all(abs(one.at - 2 * other.at) < 1e-6 for one, other in zip(slow, fast, strict=True))


def _but_time(request: Arrival) -> tuple[object, ...]:
    return (request.number, request.level, request.tenant, request.prompt_tokens, request.answer_tokens)
