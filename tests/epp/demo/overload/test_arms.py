from turnout.epp.demo.overload.arms import make_load
from turnout.epp.demo.overload.engines import capacity
from turnout.epp.demo.overload.workload import CRITICAL, requests


def test_the_load_is_one_and_a_half_times_the_capacity_for_its_own_mix() -> None:
    load = make_load(4, 60.0)
    assert load.capacity == capacity(requests(4))
    assert load.rate == 1.5 * load.capacity
    # Six standard deviations of a Poisson count either way.
    assert abs(len(load.requests) - 60.0 * load.rate) < 6 * (60.0 * load.rate) ** 0.5


def test_all_runs_see_the_same_requests_and_the_unloaded_one_the_critical_ones_of_them() -> None:
    load = make_load(4, 10.0)
    assert load.of("with") is load.of("without") is load.requests
    assert load.of("unloaded") == [request for request in load.requests if request.level == CRITICAL]
