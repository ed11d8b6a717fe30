import math
from collections import Counter

import pytest
from rich.console import Console

from turnout.epp.demo.measurements import Measurements
from turnout.epp.demo.report import RunReport, ServerCounts, comparison, percentile, summarise
from turnout.epp.simulator.replay.ceiling import Ceiling, Try


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        pytest.param([float(n) for n in range(1, 102)], 0.5, 51.0, id="median"),
        pytest.param([float(n) for n in range(1, 102)], 0.9, 91.0, id="90th of 101"),
        pytest.param([5.0], 0.99, 5.0, id="one value"),
    ],
)
def test_percentiles_are_interpolated(values: list[float], share: float, expected: float) -> None:
    assert percentile(values, share) == pytest.approx(expected)


def test_there_is_no_percentile_of_nothing() -> None:
    assert math.isnan(percentile([], 0.5))


def test_a_summary_joins_clients_and_servers() -> None:
    seen = Measurements([0.1, 0.2, 0.3], 4, 200, Counter({"HTTP 503": 1}), started=10.0, ended=20.0)
    servers = {"a:1": ServerCounts(1, 100.0, 25.0), "b:2": ServerCounts(2, 300.0, 75.0)}
    assert summarise(seen, servers) == RunReport(4, 1, 200.0, 280.0, 298.0, 20.0, 0.25, {"a:1": 1, "b:2": 2})


# A run's rate of 0.9195, as it is rounded, is shown as 92.0%.
BALANCED = Try("packer[1]", 0.91949, 1.2, True, [])
UNBALANCED = Try("seer", 0.95, 3.0, True, [])
GREEDY = Try("greedy", 0.9, 1.4, False, [])


def shown(runs: dict[str, RunReport], ceiling: Ceiling) -> str:
    console = Console(width=100, record=True)
    console.print(comparison(runs, ceiling))
    return console.export_text()


def test_the_table_marks_the_best_figure() -> None:
    worst = RunReport(10, 0, 300.0, 900.0, 950.0, 50.0, 0.2, {"a": 5, "b": 5})
    equal = RunReport(10, 0, 100.0, 800.0, 900.0, 50.0, 0.25, {"a": 4, "b": 6})
    better = RunReport(10, 0, 100.0, 200.0, 250.0, 60.0, 0.8, {"a": 7, "b": 3})
    runs = {"round-robin": worst, "least-request": equal, "turnout": better}
    table = comparison(runs, Ceiling((UNBALANCED, BALANCED, GREEDY), 0.9, 0.95))
    cells = {str(column.header): list(column.cells) for column in table.columns}
    assert cells["turnout"] == [
        "10",
        "0",
        "[bold]100 ms[/bold]",
        "[bold]200 ms[/bold]",
        "[bold]250 ms[/bold]",
        "[bold]60[/bold]",
        "[bold]80.0%[/bold]",
        "7 3",
    ]
    assert cells["least-request"] == ["10", "0", "[bold]100 ms[/bold]", "800 ms", "900 ms", "50", "25.0%", "4 6"]


def test_below_the_table_stands_the_best_hit_rate_of_balanced_assignments() -> None:
    report = RunReport(10, 0, 100.0, 200.0, 250.0, 60.0, 0.8, {"a": 7, "b": 3})
    runs = {"round-robin": report, "least-request": report, "turnout": report}
    text = shown(runs, Ceiling((UNBALANCED, BALANCED, GREEDY), 0.9, 0.95))
    assert "Envoy's round robin and least request against Turnout" in text
    assert "92.0% (packer[1])" in text
    assert "95.0%" not in text


def test_without_a_balanced_assignment_there_is_none_to_show() -> None:
    runs = {"turnout": RunReport(1, 0, 100.0, 200.0, 250.0, 60.0, 0.8, {"a": 1, "b": 0})}
    assert shown(runs, Ceiling((UNBALANCED, GREEDY), 0.9, 0.95)).rstrip().endswith("none")
