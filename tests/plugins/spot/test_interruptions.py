from turnout.framework import Endpoint
from turnout.framework.testing import make_endpoint
from turnout.plugins.spot.interruptible import Interruptible
from turnout.plugins.spot.interruptions import Interruptions


def spot(name: str, kind: str = "g5", **more: str) -> Endpoint:
    return make_endpoint(name, labels={"karpenter.sh/capacity-type": "spot", "machine": kind, **more})


def watching(*endpoints: Endpoint) -> Interruptions:
    interruptions = Interruptions(Interruptible(None, "machine"), "drain", 60.0)
    interruptions.endpoints_changed(endpoints)
    return interruptions


STEADY = make_endpoint("steady")


def test_a_spot_endpoint_that_leaves_is_interrupted() -> None:
    interruptions = watching(STEADY, spot("a"), spot("b", "p4"))
    assert interruptions.by_instance_type(0.0) == {}
    interruptions.endpoints_changed([STEADY])
    assert interruptions.by_instance_type(10.0) == {"g5": 1, "p4": 1}
    assert interruptions.last_to_reach(2, 70.0) == 10.0
    assert interruptions.last_to_reach(3, 70.0) is None
    assert interruptions.by_instance_type(71.0) == {}
    assert interruptions.total == 2


def test_a_notice_and_the_leave_that_follows_are_one_interruption() -> None:
    interruptions = watching(STEADY, spot("a"))
    interruptions.endpoints_changed([STEADY, spot("a", drain="now")])
    interruptions.endpoints_changed([STEADY])
    assert interruptions.total == 1
    interruptions.endpoints_changed([STEADY, spot("a")])
    interruptions.endpoints_changed([STEADY])
    assert interruptions.total == 2


def test_an_endpoint_on_demand_and_a_listing_that_fails_count_for_nothing() -> None:
    interruptions = watching(STEADY, make_endpoint("b"), spot("a"))
    interruptions.endpoints_changed([STEADY, spot("a")])
    interruptions.endpoints_changed([])
    interruptions.endpoints_changed([STEADY, spot("a")])
    assert interruptions.total == 0


def test_what_is_remembered_is_bounded() -> None:
    interruptions = watching(STEADY)
    for number in range(3000):
        interruptions.endpoints_changed([STEADY, spot(f"a{number}")])
    assert interruptions.by_instance_type(0.0) == {"g5": 1000}
    assert interruptions.total == 2999
