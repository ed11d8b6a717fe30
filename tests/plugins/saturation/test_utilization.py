from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.saturation.reporting import SILENT, reporting
from turnout.config import load_pipeline
from turnout.framework import Endpoint, GaugeReading, PluginName
from turnout.framework.testing import check_detector, check_filter, make_request, make_state
from turnout.plugins.saturation.utilization import UtilizationDetector

NOW = 100.1
OLD = 90.0


@pytest.mark.parametrize(
    ("endpoints", "expected"),
    [
        pytest.param([], 1.0, id="an empty pool is full"),
        pytest.param([reporting()], 0.0, id="idle"),
        pytest.param([reporting(waiting=2, cache=0.1)], 0.4, id="the queue: 2 of 5"),
        pytest.param([reporting(waiting=1, cache=0.4)], 0.5, id="the cache: 0.4 of 0.8"),
        pytest.param([reporting(waiting=20)], 4.0, id="more than full"),
        pytest.param([reporting("a", waiting=1), reporting("b", waiting=3)], 0.4, id="the mean of two"),
        pytest.param([SILENT], 1.0, id="nothing was reported"),
        pytest.param([reporting("a", at=OLD), reporting("b", waiting=1)], 0.6, id="one stale, one at 0.2"),
        pytest.param([reporting(at=OLD, waiting=20)], 1.0, id="a stale queue counts as 1, however long"),
        pytest.param([reporting(cache=float("nan"), waiting=1)], 0.2, id="a utilization that is no number"),
    ],
)
def test_saturation_is_the_mean_of_the_endpoints_loads(endpoints: list[Endpoint], expected: float) -> None:
    assert check_detector(UtilizationDetector(), endpoints, NOW) == pytest.approx(expected)


def test_thresholds_set_what_is_full() -> None:
    detector = UtilizationDetector(10, 0.5)
    assert detector.saturation([reporting(waiting=2)], NOW) == pytest.approx(0.2)
    assert detector.saturation([reporting(cache=0.4)], NOW) == pytest.approx(0.8)


def kept(detector: UtilizationDetector, endpoints: list[Endpoint], now: float = NOW) -> str:
    return "".join(endpoint.name[-1] for endpoint in detector.filter(make_request(), make_state(now=now), endpoints))


FULL = reporting("f", waiting=5)
ROOM = reporting("r", waiting=4, cache=0.79)


@pytest.mark.parametrize(
    ("detector", "endpoints", "expected"),
    [
        pytest.param(UtilizationDetector(), [FULL, ROOM], "r", id="at the set point: removed"),
        pytest.param(UtilizationDetector(), [reporting("c", cache=0.8), ROOM], "r", id="by the cache"),
        pytest.param(UtilizationDetector(), [SILENT, ROOM], "r", id="never reported: removed"),
        pytest.param(UtilizationDetector(), [reporting("o", at=OLD), ROOM], "r", id="stale: removed"),
        pytest.param(UtilizationDetector(), [FULL, SILENT], "ft", id="nobody is left: all"),
        pytest.param(UtilizationDetector(headroom=0.2), [FULL, ROOM], "fr", id="headroom"),
        pytest.param(UtilizationDetector(headroom=0.2), [reporting("f", waiting=6), ROOM], "r", id="beyond headroom"),
        pytest.param(UtilizationDetector(), [], "", id="no candidates"),
    ],
)
def test_the_filter_keeps_those_that_are_known_to_have_room(
    detector: UtilizationDetector, endpoints: list[Endpoint], expected: str
) -> None:
    assert kept(detector, endpoints) == expected


def test_metrics_grow_stale_as_slowly_as_the_pool_is_scraped() -> None:
    detector = UtilizationDetector(metrics_staleness_threshold=timedelta(milliseconds=300))
    busy, quiet = reporting("b", in_flight=1, running=1), reporting("q")
    assert kept(detector, [busy, quiet], 100.29) == "bq"
    assert kept(detector, [busy, quiet], 100.31) == "q"
    assert detector.saturation([busy, quiet], 100.31) == pytest.approx(0.5)
    detector.endpoints_changed([reporting(f"e{number}") for number in range(100)])
    assert kept(detector, [busy, quiet], 101.3) == "bq"
    assert detector.saturation([busy, quiet], 101.3) == 0.0
    assert kept(detector, [busy, quiet], 105.3) == "q"


def test_a_burst_on_an_idle_pool_does_not_look_like_a_pool_that_nothing_is_known_of() -> None:
    detector = UtilizationDetector()
    pool = [reporting(f"e{number}", at=99.0, in_flight=1, waiting=1) for number in range(100)]
    detector.endpoints_changed(pool)
    assert detector.saturation(pool, 100.0) == pytest.approx(0.2)


def gauge(detector: UtilizationDetector) -> GaugeReading:
    (reading,) = detector.readings()
    assert isinstance(reading, GaugeReading)
    return reading


def test_stale_endpoints_are_counted_over_all_parts_of_the_pool_that_were_asked_about() -> None:
    detector = UtilizationDetector(name=PluginName("mine"))
    assert gauge(detector).name == "flow_control_stale_endpoints"
    assert (gauge(detector).value, gauge(detector).labels) == (0, {"detector": "mine"})
    detector.saturation([SILENT, reporting("a"), reporting("b", at=OLD)], NOW)
    assert gauge(detector).value == 2
    detector.saturation([reporting("c", at=OLD)], NOW)
    assert gauge(detector).value == 3
    detector.saturation([reporting("a"), reporting("b")], NOW)
    assert gauge(detector).value == 2
    detector.endpoints_changed([SILENT, reporting("a")])
    assert gauge(detector).value == 1
    detector.saturation([reporting(SILENT.name.removeprefix("default/"))], NOW)
    assert gauge(detector).value == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({"queue_depth_threshold": 0}, "queue_depth_threshold must be at least 1, got 0", id="no queue"),
        pytest.param(
            {"kv_cache_util_threshold": 0.0},
            "kv_cache_util_threshold must be above 0 and at most 1, got 0.0",
            id="none",
        ),
        pytest.param(
            {"kv_cache_util_threshold": 1.5},
            "kv_cache_util_threshold must be above 0 and at most 1, got 1.5",
            id="over",
        ),
        pytest.param(
            {"metrics_staleness_threshold": timedelta()},
            "metrics_staleness_threshold must be positive, got 0",
            id="no time",
        ),
        pytest.param({"headroom": -0.1}, "headroom must be at least 0 and finite, got -0.1", id="negative headroom"),
    ],
)
def test_parameters_have_ranges(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        UtilizationDetector(**arguments)  # type: ignore[arg-type]


def test_a_detector_that_is_added_by_default_is_no_filter_of_the_default_profile_and_a_listed_one_is() -> None:
    document = "apiVersion: turnout/v1\nkind: EndpointPickerConfig\nplugins: "
    injected = load_pipeline(document + "[{type: queue-scorer}]")
    assert isinstance(injected.plugins["utilization-detector"], UtilizationDetector)
    assert injected.scheduler.profiles[0].filters == ()
    listed = load_pipeline(document + "[{type: queue-scorer}, {type: utilization-detector}]")
    assert [named.name for named in listed.scheduler.profiles[0].filters] == ["utilization-detector"]


endpoints = st.lists(
    st.builds(
        reporting,
        st.text("abcdef", min_size=1, max_size=3),
        at=st.floats(0.0, 100.0),
        waiting=st.integers(0, 10**9),
        running=st.integers(0, 10),
        cache=st.one_of(st.floats(0.0, 1.0), st.sampled_from([float("inf"), float("nan")])),
        in_flight=st.integers(0, 10),
    ),
    max_size=8,
    unique_by=lambda endpoint: endpoint.name,
)


@given(pool=endpoints, headroom=st.floats(0.0, 1e9), size=st.integers(0, 10_000))
def test_the_detector_keeps_both_contracts(pool: list[Endpoint], headroom: float, size: int) -> None:
    detector = UtilizationDetector(headroom=headroom)
    detector._staleness.resize(size)
    check_detector(detector, pool, NOW)
    left = check_filter(detector, make_request(), make_state(now=NOW), pool)
    assert bool(left) == bool(pool)
