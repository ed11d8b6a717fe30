import pytest

from turnout.framework import CounterReading, HistogramReading
from turnout.plugins.carbon.emissions import Emissions


def values(emissions: Emissions) -> dict[tuple[str, str], float]:
    return {
        (reading.name, reading.labels["region"]): reading.value
        for reading in emissions.readings()
        if isinstance(reading, CounterReading)
    }


def test_grams_are_kilowatt_hours_times_the_intensity() -> None:
    emissions = Emissions()
    # 700 W for 36 s are 7 Wh; at 500 g/kWh that is 3.5 g.
    assert emissions.add("north", 700.0 * 36.0, 500.0) == pytest.approx(3.5)
    assert emissions.add("north", 700.0 * 36.0, 0.0) == 0.0
    assert emissions.add("north", 1000.0, None) is None
    assert emissions.add("", None, 500.0) is None
    assert values(emissions) == {
        ("carbon_grams_total", "north"): pytest.approx(3.5),
        ("carbon_joules_total", "north"): 51_400.0,
        ("carbon_requests_total", "north"): 3,
        ("carbon_requests_unknown_total", "north"): 1,
        ("carbon_grams_total", "unknown"): 0.0,
        ("carbon_joules_total", "unknown"): 0.0,
        ("carbon_requests_total", "unknown"): 1,
        ("carbon_requests_unknown_total", "unknown"): 1,
    }
    histogram = next(each for each in emissions.readings() if isinstance(each, HistogramReading)).histogram
    assert sum(histogram.counts) == 2
    assert histogram.total == pytest.approx(3.5)


def test_no_series_is_there_twice_whatever_regions_are_called() -> None:
    emissions = Emissions()
    for region in ("", "unknown"):
        emissions.add(region, 3_600_000.0, 1.0)
    counters = [reading for reading in emissions.readings() if isinstance(reading, CounterReading)]
    assert len(counters) == len(values(emissions)) == 4
    assert values(emissions)["carbon_requests_total", "unknown"] == 2


def test_regions_by_the_thousand_make_few_series() -> None:
    emissions = Emissions()
    for number in range(1000):
        emissions.add(f"r{number}", 3_600_000.0, 1.0)
    shown = values(emissions)
    assert len(shown) == 4 * 201
    assert shown["carbon_grams_total", "other"] == 800.0
