import itertools
import math
from collections import Counter

from turnout.epp.demo.slo.workload import TARGETS, arrivals


def about(count: int, expected: float) -> bool:
    """Within six standard deviations of a Poisson or binomial count."""
    return abs(count - expected) < 6 * math.sqrt(expected)


def test_a_seed_decides_everything() -> None:
    assert arrivals(7, 20.0, 10.0) == arrivals(7, 20.0, 10.0)
    assert arrivals(7, 20.0, 10.0) != arrivals(8, 20.0, 10.0)


def test_requests_come_at_their_rate_with_the_shares_of_their_targets() -> None:
    found = arrivals(1, 50.0, 100.0)
    assert about(len(found), 5_000.0)
    assert all(0.0 < one.at <= other.at < 100.0 for one, other in itertools.pairwise(found))
    counts = Counter(request.target for request in found)
    assert all(about(counts[target], share * len(found)) for target, share in TARGETS.items())


def test_the_gateway_is_told_the_target_in_milliseconds() -> None:
    request = next(each for each in arrivals(1, 50.0, 100.0) if each.target == 0.3)
    assert request.headers == {"x-llm-d-slo-ttft-ms": "300"}
    assert request.prompt(1) != request.prompt(2)
