import math

import pytest

from turnout.epp.demo.timed.shown import late_clients, milliseconds, runs_table


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        pytest.param(0.0124, "12", id="rounded"),
        pytest.param(1234.5, "1,234,500", id="long"),
        pytest.param(math.nan, "", id="not measured"),
    ],
)
def test_times_are_shown_in_milliseconds(seconds: float, shown: str) -> None:
    assert milliseconds(seconds) == shown


def test_a_client_that_was_late_is_told() -> None:
    assert late_clients({"first": 0.01, "second": 0.05}) == [
        "The client of second was 50 ms late to send: the machine is busy, times are too long."
    ]


def test_a_table_has_a_column_of_names_and_those_of_figures() -> None:
    shown = runs_table("title", ["TTFT", "cost"])
    assert [(column.header, column.justify) for column in shown.columns] == [
        ("", "left"),
        ("TTFT", "right"),
        ("cost", "right"),
    ]
