from collections import Counter, deque
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.generated import decided
from turnout.framework import CounterReading, Endpoint, GaugeReading
from turnout.framework.testing import check_filter, make_endpoint, make_request, make_state
from turnout.plugins.spot.headroom import Headroom
from turnout.plugins.spot.spot_filter import SpotFilter

STEADY = make_endpoint("steady")


def spot(name: str, kind: str = "g5", waiting: int = 0) -> Endpoint:
    labels = {"karpenter.sh/capacity-type": "spot", "node.kubernetes.io/instance-type": kind}
    return make_endpoint(name, labels=labels, waiting=waiting)


def kept(plugin: SpotFilter, *endpoints: Endpoint, now: float = 0.0) -> list[str]:
    found = check_filter(plugin, make_request(), make_state(now=now), endpoints)
    return [endpoint.name.removeprefix("default/") for endpoint in found]


def send(plugin: SpotFilter, endpoint: Endpoint) -> None:
    plugin.pre_request(make_request(), make_state(), decided(endpoint))


def values(plugin: SpotFilter) -> list[float]:
    return [reading.value for reading in plugin.readings() if isinstance(reading, GaugeReading | CounterReading)]


def test_spot_endpoints_without_headroom_are_left_out() -> None:
    plugin = SpotFilter(headroom=Headroom(max_waiting_requests=2))
    assert kept(plugin, spot("a", waiting=2), STEADY, spot("b", waiting=3)) == ["a", "steady"]
    assert kept(plugin, STEADY) == ["steady"]


def test_the_share_of_spot_endpoints_is_limited_from_the_first_request_on() -> None:
    plugin = SpotFilter(max_share=0.25, share_window=8)
    went = []
    for _ in range(16):
        choice = kept(plugin, spot("a"), STEADY)[0]
        went.append(choice)
        send(plugin, spot("a") if choice == "a" else STEADY)
    assert went == (["steady"] * 3 + ["a"]) * 4
    assert values(plugin) == [0.25, 0, 0]


@given(
    limits=st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1.0)),
    window=st.integers(1, 20),
    steps=st.lists(st.tuples(st.sets(st.integers(0, 4), min_size=1), st.integers(0, 10)), max_size=80),
)
def test_no_interleaving_of_requests_passes_a_limit(
    limits: tuple[float, float], window: int, steps: list[tuple[set[int], int]]
) -> None:
    """Each request has candidates of its own, one on demand among them, and goes to any that is left."""
    max_share, max_type_share = limits
    plugin = SpotFilter(max_share=max_share, max_instance_type_share=max_type_share, share_window=window)
    pool = [spot("a", "g5"), spot("b", "g5"), spot("c", "p4"), spot("d", "p5")]
    last: deque[str] = deque(maxlen=window)
    for chosen, number in steps:
        candidates = [pool[place] for place in sorted(chosen) if place < 4] + [STEADY]
        left = check_filter(plugin, make_request(), make_state(), candidates)
        endpoint = left[number % len(left)]
        send(plugin, endpoint)
        last.append(endpoint.labels.get("node.kubernetes.io/instance-type", ""))
        by_type = Counter(last)
        on_demand = by_type.pop("", 0)
        assert len(last) - on_demand <= max_share * len(last) + 1e-9
        assert all(count <= max_type_share * len(last) + 1e-9 for count in by_type.values())
    assert values(plugin)[2] == 0


def test_no_instance_type_gets_more_than_its_share() -> None:
    plugin = SpotFilter(max_instance_type_share=0.5, share_window=4)
    for endpoint in (STEADY, spot("a", "g5"), STEADY, spot("a", "g5")):
        send(plugin, endpoint)
    assert kept(plugin, spot("a", "g5"), spot("b", "p4"), STEADY) == ["b", "steady"]


@pytest.mark.parametrize(
    ("only_spot", "left"),
    [
        pytest.param("use", ["a"], id="use them all the same"),
        pytest.param("refuse", [], id="rather refuse the request"),
    ],
)
def test_where_there_is_nothing_else_the_configuration_decides(only_spot: Any, left: list[str]) -> None:
    plugin = SpotFilter(max_share=0.0, only_spot=only_spot)
    assert kept(plugin, spot("a")) == left
    assert kept(plugin, spot("a"), STEADY) == ["steady"]
    send(plugin, spot("a"))
    assert values(plugin) == [1.0, 0, 1]


def test_interruptions_keep_requests_away_for_a_while() -> None:
    plugin = SpotFilter(max_interruptions=2, interruption_window=timedelta(seconds=60), pause=timedelta(seconds=100))
    pool = [STEADY, spot("a"), spot("b"), spot("c")]
    plugin.endpoints_changed(pool)
    plugin.endpoints_changed([STEADY, spot("b"), spot("c")])
    assert kept(plugin, spot("c"), STEADY, now=10.0) == ["c", "steady"]
    plugin.endpoints_changed([STEADY])
    # It counts from the first request on, though that had no spot endpoint among its candidates.
    assert kept(plugin, STEADY, now=50.0) == ["steady"]
    assert kept(plugin, spot("c"), STEADY, now=140.0) == ["steady"]
    (finding,) = plugin.diagnose(pool, 140.0).findings
    assert (finding.cause, finding.message) == (
        "spot-paused",
        "spot endpoints are not used for 10 s more: 2 were taken away lately",
    )
    assert kept(plugin, spot("c"), STEADY, now=151.0) == ["c", "steady"]
    assert plugin.diagnose(pool, 151.0).findings == ()
    assert values(plugin)[1] == 3


def test_without_a_limit_interruptions_are_only_counted() -> None:
    plugin = SpotFilter(max_interruptions=0)
    plugin.endpoints_changed([STEADY, *(spot(str(number)) for number in range(50))])
    plugin.endpoints_changed([STEADY])
    assert kept(plugin, spot("a"), STEADY) == ["a", "steady"]
    assert values(plugin)[1] == 50


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        pytest.param({"max_share": 1.5}, "max_share must be from 0 to 1, got 1.5", id="more than all"),
        pytest.param(
            {"max_instance_type_share": float("nan")}, "max_instance_type_share must be from 0", id="no number"
        ),
        pytest.param({"share_window": 0}, "share_window must be from 1 to 1000000, got 0", id="no window"),
        pytest.param(
            {"max_interruptions": -1}, "max_interruptions must be from 0 to 1000, got -1", id="less than none"
        ),
        pytest.param(
            {"max_interruptions": 1001}, "max_interruptions must be from 0 to 1000", id="more than are counted"
        ),
        pytest.param({"pause": timedelta(0)}, "pause must be above 0, got 0 s", id="no pause"),
    ],
)
def test_parameters_out_of_range_are_refused(parameters: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        SpotFilter(**parameters)
