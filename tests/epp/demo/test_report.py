import math
from collections import Counter

import pytest
from rich.console import Console

from turnout.epp.demo.measurements import Measurements
from turnout.epp.demo.report import RunReport, ServerCounts, comparison, percentile, summarise


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


def test_the_table_marks_the_better_figure() -> None:
    worse = RunReport(10, 0, 300.0, 900.0, 950.0, 50.0, 0.2, {"a": 5, "b": 5})
    better = RunReport(10, 0, 100.0, 200.0, 250.0, 60.0, 0.8, {"a": 7, "b": 3})
    table = comparison({"round-robin": worse, "turnout": better})
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
    console = Console(width=80, record=True)
    console.print(table)
    assert "Round robin against Turnout" in console.export_text()
