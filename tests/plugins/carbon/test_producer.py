from dataclasses import replace

import pytest

from plugins.generated import decided, ended, produce
from turnout.framework import CounterReading, CycleState, Endpoint, GaugeReading, WallClock
from turnout.framework.testing import check_producer, make_endpoint, make_request, make_state
from turnout.plugins.carbon.keys import CARBON_INTENSITIES
from turnout.plugins.carbon.power import Power
from turnout.plugins.carbon.producer import CarbonIntensityProducer
from turnout.plugins.latency.keys import LATENCY_PREDICTIONS, LatencyPrediction

REGION = "topology.kubernetes.io/region"
TABLE = {"north": 500.0}


def endpoint(region: str = "north", in_flight: int = 0, **labels: str) -> Endpoint:
    return make_endpoint("a", labels={REGION: region, **labels}, in_flight=in_flight)


def grams(plugin: CarbonIntensityProducer) -> list[float]:
    return [
        reading.value
        for reading in plugin.readings()
        if isinstance(reading, CounterReading) and reading.name == "carbon_grams_total"
    ]


def served(
    plugin: CarbonIntensityProducer, at: Endpoint, seconds: float, busy_seconds: float | None = None
) -> CycleState:
    """A request that was sent there at 100 s and took so long."""
    state = make_state(now=100.0)
    if busy_seconds is not None:
        state.write(LATENCY_PREDICTIONS.of(""), {at.name: LatencyPrediction(1.0, 0.1, busy_seconds=busy_seconds)})
    plugin.pre_request(make_request(), state, decided(at))
    state.now = 100.0 + seconds
    plugin.response_complete(make_request(), state, replace(ended(at), duration_seconds=9e9))
    return state


def test_intensities_are_published_by_region() -> None:
    plugin = CarbonIntensityProducer(WallClock(), TABLE)
    known = check_producer(plugin, make_request(), make_state(), []).read(CARBON_INTENSITIES.of(""))
    assert (known.of(endpoint()), known.of(endpoint("south"))) == (500.0, None)
    again = produce(plugin, make_request(), make_state(now=5.0), []).read(CARBON_INTENSITIES.of(""))
    assert again is known


@pytest.mark.parametrize(
    ("at", "seconds", "busy_seconds", "expected"),
    [
        # 1,000 W at 500 g/kWh are 500 g in an hour.
        pytest.param(endpoint(), 36.0, 7.2, 1.0, id="as busy as predicted"),
        pytest.param(endpoint(), 3.6, 7.2, 0.5, id="shorter than predicted"),
        pytest.param(endpoint(), 36.0, None, 5.0, id="no prediction, alone"),
        pytest.param(endpoint(in_flight=9), 36.0, None, 0.5, id="no prediction, one of ten"),
        pytest.param(endpoint(in_flight=9), 36.0, 7.2, 1.0, id="a prediction knows how many share"),
        pytest.param(endpoint("south"), 36.0, 7.2, 0.0, id="an unknown intensity"),
    ],
)
def test_a_request_emits_what_its_endpoint_drew_for_it(
    at: Endpoint, seconds: float, busy_seconds: float | None, expected: float
) -> None:
    plugin = CarbonIntensityProducer(WallClock(), TABLE, power=Power(gpu_watts=1000.0))
    served(plugin, at, seconds, busy_seconds)
    assert grams(plugin) == [pytest.approx(expected)]


def test_a_request_that_was_never_sent_emits_nothing() -> None:
    plugin = CarbonIntensityProducer(WallClock(), TABLE)
    plugin.response_complete(make_request(), make_state(), ended(endpoint()))
    assert grams(plugin) == []


def test_what_is_not_known_is_found() -> None:
    plugin = CarbonIntensityProducer(WallClock(), TABLE, power=Power(gpu_watts=700.0))
    endpoints = [
        make_endpoint("a", labels={REGION: "north"}),
        make_endpoint("b", labels={REGION: "south", "nvidia.com/gpu.count": "two"}),
        make_endpoint("c"),
    ]
    diagnosis = plugin.diagnose(endpoints, 1.0)
    assert [(finding.cause, finding.endpoint) for finding in diagnosis.findings] == [
        ("no-intensity", "default/b"),
        ("bad-power-label", "default/b"),
        ("no-intensity", "default/c"),
    ]
    assert diagnosis.figures["default/a"] == {
        "region": "north",
        "grams_per_kwh": 500.0,
        "watts": 700.0,
        "feed_age_seconds": None,
    }
    gauges = [reading for reading in plugin.readings() if isinstance(reading, GaugeReading)]
    help_text = "Grams of CO2 equivalents per kWh, by region."
    assert gauges == [GaugeReading("carbon_intensity_grams_per_kwh", help_text, 500.0, {"region": "north"})]


def test_a_producer_without_any_source_says_so() -> None:
    (finding,) = CarbonIntensityProducer(WallClock()).diagnose([endpoint()], 1.0).findings
    assert finding.cause == "no-source"


def test_bad_parameters_are_refused() -> None:
    with pytest.raises(ValueError, match=r"regions\['north'\] must be from 0 to 2000 g/kWh, got -1.0"):
        CarbonIntensityProducer(WallClock(), {"north": -1.0})
    with pytest.raises(ValueError, match="region_label must not be empty"):
        CarbonIntensityProducer(WallClock(), region_label="")


async def test_without_a_feed_there_is_nothing_to_follow() -> None:
    await CarbonIntensityProducer(WallClock(), TABLE).run()
