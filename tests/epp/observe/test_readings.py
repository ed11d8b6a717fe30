from collections.abc import Iterable

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from turnout.epp.observe.readings import MAX_READINGS, PluginReadings
from turnout.framework import CounterReading, GaugeReading, Histogram, HistogramReading, PluginError, Reading


class Meter:
    def __init__(self, *readings: Reading) -> None:
        self.given = readings

    def readings(self) -> Iterable[Reading]:
        yield from self.given


class Broken:
    def readings(self) -> Iterable[Reading]:
        yield GaugeReading("kept", "Kept.", 1.0)
        raise RuntimeError("broken on purpose")


def page(plugins: dict[str, object]) -> tuple[list[str], list[PluginError]]:
    failures: list[PluginError] = []
    registry = CollectorRegistry()
    registry.register(PluginReadings("p_", lambda: plugins, lambda name: f"type-of-{name}", failures.append))
    return generate_latest(registry).decode().splitlines(), failures


def test_gauges_of_several_plugins_share_a_family() -> None:
    lines, failures = page(
        {
            "a": Meter(GaugeReading("size", "Entries.", 3.0)),
            "b": Meter(GaugeReading("size", "Entries.", 4.5, {"shard": "x"})),
            "c": object(),
        }
    )
    assert lines == [
        "# HELP p_size Entries.",
        "# TYPE p_size gauge",
        'p_size{plugin_name="a",plugin_type="type-of-a"} 3.0',
        'p_size{plugin_name="b",plugin_type="type-of-b",shard="x"} 4.5',
    ]
    assert failures == []


def test_counters_have_the_ending_of_counters() -> None:
    lines, failures = page({"a": Meter(CounterReading("events_total", "Events.", 7.0, {"kind": "stored"}))})
    assert lines == [
        "# HELP p_events_total Events.",
        "# TYPE p_events_total counter",
        'p_events_total{kind="stored",plugin_name="a",plugin_type="type-of-a"} 7.0',
    ]
    assert failures == []


def test_histograms_are_cumulative() -> None:
    histogram = Histogram([0.5, 1.0])
    for value in (0.25, 0.75, 5.0):
        histogram.observe(value)
    lines, _ = page({"a": Meter(HistogramReading("ratio", "A ratio.", histogram))})
    assert lines[2:] == [
        'p_ratio_bucket{le="0.5",plugin_name="a",plugin_type="type-of-a"} 1.0',
        'p_ratio_bucket{le="1.0",plugin_name="a",plugin_type="type-of-a"} 2.0',
        'p_ratio_bucket{le="+Inf",plugin_name="a",plugin_type="type-of-a"} 3.0',
        'p_ratio_count{plugin_name="a",plugin_type="type-of-a"} 3.0',
        'p_ratio_sum{plugin_name="a",plugin_type="type-of-a"} 6.0',
    ]


@pytest.mark.parametrize(
    ("plugin", "problem"),
    [
        pytest.param(Broken(), "RuntimeError: broken on purpose", id="it raises"),
        pytest.param(Meter(GaugeReading("no name", "", 1.0)), "ValueError: 'no name' is no name", id="a bad name"),
        pytest.param(
            Meter(GaugeReading("x", "", 1.0), HistogramReading("x", "", Histogram([1.0]))),
            "ValueError: 'x' is a gauge of another plugin",
            id="two kinds of one name",
        ),
        pytest.param(
            Meter(CounterReading("events", "", 1.0)),
            "ValueError: 'events': the names of counters, and no others, end in _total",
            id="a counter without its ending",
        ),
    ],
)
def test_a_plugin_that_fails_is_reported_and_costs_nobody_else(plugin: object, problem: str) -> None:
    lines, failures = page({"bad": plugin, "good": Meter(GaugeReading("good", "Good.", 1.0))})
    assert 'p_good{plugin_name="good",plugin_type="type-of-good"} 1.0' in lines
    assert [error.plugin for error in failures] == ["bad"]
    assert failures[0].problem.startswith(problem)


def test_of_readings_with_the_same_labels_the_first_is_shown() -> None:
    twice = [GaugeReading("x", "", float(number), {"tenant": f"t{chr(number)}"}) for number in (1, 2)]
    lines, failures = page({"a": Meter(*twice), "b": Meter(*twice)})
    assert [line.rsplit(" ", 1)[1] for line in lines[2:]] == ["1.0", "1.0"]
    assert failures == []


def test_readings_of_one_plugin_are_bounded() -> None:
    many = [GaugeReading("x", "", 1.0, {"n": str(number)}) for number in range(MAX_READINGS + 50)]
    lines, _ = page({"a": Meter(*many)})
    assert len(lines) == MAX_READINGS + 2
