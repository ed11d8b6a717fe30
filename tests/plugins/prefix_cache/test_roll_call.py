from turnout.framework import Endpoint, EndpointMetrics
from turnout.framework.testing import make_endpoint
from turnout.plugins.prefix_cache.roll_call import RollCall


def pool(count: int) -> list[Endpoint]:
    return [make_endpoint(f"e{number}") for number in range(count)]


def sized(name: str, size: int) -> Endpoint:
    return make_endpoint(name, metrics=EndpointMetrics(cache_block_size=size))


def test_everybody_is_looked_at_once_a_second_and_a_hundred_at_a_time() -> None:
    roll_call, endpoints = RollCall(), pool(250)
    rounds = [roll_call.next(endpoints, 0.0), roll_call.next(endpoints, 0.1), roll_call.next(endpoints, 0.2)]
    assert [len(part) for part in rounds] == [100, 100, 50]
    assert [endpoint for part in rounds for endpoint in part] == endpoints
    assert roll_call.next(endpoints, 1.1) == ()
    assert len(roll_call.next(endpoints, 1.2)) == 100


def test_who_was_no_candidate_for_two_minutes_has_departed() -> None:
    roll_call = RollCall()
    roll_call.next([make_endpoint("a"), make_endpoint("b")], 0.0)
    roll_call.next([make_endpoint("b")], 119.0)
    assert roll_call.departed() == []
    roll_call.next([make_endpoint("b")], 120.0)
    assert roll_call.departed() == ["default/a"]
    assert roll_call.departed() == []
    assert len(roll_call) == 1


def test_a_long_pause_makes_nobody_depart_who_is_still_there() -> None:
    roll_call, endpoints = RollCall(), pool(3)
    roll_call.next(endpoints, 0.0)
    roll_call.next(endpoints, 3600.0)
    assert roll_call.departed() == []


def test_who_is_expected_has_two_minutes_to_appear() -> None:
    roll_call = RollCall()
    roll_call.expect("default/late")
    roll_call.expect("default/a")
    roll_call.next([make_endpoint("a")], 1000.0)
    roll_call.next([make_endpoint("a")], 1119.0)
    assert roll_call.departed() == []
    roll_call.next([make_endpoint("a")], 1120.5)
    assert roll_call.departed() == ["default/late"]


def test_the_largest_block_size_is_that_of_those_who_are_there() -> None:
    roll_call = RollCall()
    assert roll_call.largest_block_size == 0
    roll_call.next([sized("a", 16), sized("b", 256), sized("c", 0)], 0.0)
    assert roll_call.largest_block_size == 256
    roll_call.next([sized("a", 16)], 121.0)
    assert roll_call.largest_block_size == 16


def test_without_candidates_nothing_happens() -> None:
    roll_call = RollCall()
    assert roll_call.next([], 0.0) == []
