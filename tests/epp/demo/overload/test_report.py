import json
from dataclasses import replace

import pytest
from rich.console import Console

from turnout.epp.demo.overload.arms import Load
from turnout.epp.demo.overload.figures import LevelFigures, RunFigures
from turnout.epp.demo.overload.profiles import Bounds
from turnout.epp.demo.overload.report import Report, as_dict, doubts, notes, table
from turnout.epp.demo.overload.workload import Arrival

LOAD = Load(3, 20.0, [Arrival(number, 0.0, "critical", "acme", 100, 10) for number in range(1_200)])
PROMISED = Bounds(queue=5.0, first_token=6.0, refusal=5.25)
CRITICAL = LevelFigures(1_000, 1_000, {}, {}, 0, 0.0601, 0.2, 0.25, 0)
SLOW = replace(CRITICAL, ttft_p50=5.0, ttft_p99=12.0, longest=13.5, outside_bound=400)
LOW = LevelFigures(
    200, 0, {"rejected-ttl-expired": 20, "rejected-saturated": 180}, {}, 0, float("nan"), float("nan"), 5.01, 0
)
REPORT = Report(
    LOAD,
    PROMISED,
    {
        "unloaded": RunFigures({"critical": CRITICAL}, 30.0, 6.0, 0.001),
        "without": RunFigures({"critical": SLOW}, 45.0, 19.5, 0.002),
        "with": RunFigures({"critical": replace(CRITICAL, ttft_p99=0.21), "low": LOW}, 33.0, 17.0, 0.003),
    },
)


def lines() -> list[str]:
    console = Console(width=80, record=True)
    console.print(table(REPORT))
    return [" ".join(line.split()) for line in console.export_text().splitlines()]


def test_the_table_has_a_line_for_each_level_of_each_run() -> None:
    assert [line for line in lines() if line.startswith(("critical", "low", "with"))] == [
        "critical alone",
        "critical 1,000 1,000 0 60 200 250 0",
        "without flow control",
        "critical 1,000 1,000 0 5,000 12,000 13,500 400 60.00",
        "with flow control",
        "critical 1,000 1,000 0 60 210 250 0 1.05",
        "low 200 0 200 5,010 0",
    ]


def test_the_table_fits_into_80_columns() -> None:
    assert not any("…" in line for line in lines())


def test_notes_state_capacity_load_and_bound_and_why_requests_were_not_served() -> None:
    capacity, load, bound, low = notes(REPORT)
    assert capacity.startswith("Capacity: 20.0 requests/s")
    assert capacity.endswith("4 x 16 slots full (measured: 19.5 without flow control, 17.0 with it).")
    assert load.startswith("Load: 30.0 requests/s, 1.5 times the capacity; 1,200 requests of seed 3")
    assert bound.startswith("Bound: 5 s in the queue, so an outcome within 6 s (first token) or 5.25 s (refusal)")
    assert low == "Not served with flow control, low: 180 rejected-saturated, 20 rejected-ttl-expired."


def test_failures_and_requests_without_an_answer_are_named() -> None:
    lossy = replace(CRITICAL, served=996, failed={"HTTP 503": 1, "TimeoutError": 2}, unanswered=1)
    runs = REPORT.runs | {"without": replace(REPORT.runs["without"], levels={"critical": lossy})}  # type: ignore[operator]
    text = "Not served without flow control, critical: 1 HTTP 503, 2 TimeoutError, 1 never answered."
    assert text in notes(replace(REPORT, runs=runs))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({}, [], id="nothing to doubt"),
        pytest.param(
            {"late_p99": 0.012}, ["The client of without flow control was 12 ms late to send"], id="a busy client"
        ),
        pytest.param({"served_per_second": 17.0}, ["The servers served 17.0 requests/s"], id="slow servers"),
    ],
)
def test_signs_of_a_busy_machine_are_told(change: dict[str, float], expected: list[str]) -> None:
    without = RunFigures(**{**_fields(REPORT.runs["without"]), **change})  # type: ignore[arg-type]
    found = doubts(replace(REPORT, runs={**REPORT.runs, "without": without}))
    assert len(found) == len(expected)
    assert all(text.startswith(start) for text, start in zip(found, expected, strict=True))


def _fields(run: RunFigures) -> dict[str, object]:
    return {
        "levels": run.levels,
        "seconds": run.seconds,
        "served_per_second": run.served_per_second,
        "late_p99": run.late_p99,
    }


def test_the_file_has_every_figure_and_null_for_what_is_none() -> None:
    written = json.loads(json.dumps(as_dict(REPORT), allow_nan=False))
    assert (written["scenario"], written["seed"]) == ("overload", 3)
    assert (written["capacity_per_second"], written["requests_per_second"]) == (20.0, 30.0)
    assert written["bounds_seconds"] == {"queue": 5.0, "first_token": 6.0, "refusal": 5.25}
    assert written["critical_ratio"] == {"without": 60.0, "with": pytest.approx(1.05)}
    assert [goal["reached"] for goal in written["goals"]] == [True, True, True, True]
    assert written["runs"]["with"]["levels"]["low"] == {
        "sent": 200,
        "served": 0,
        "refused": {"rejected-ttl-expired": 20, "rejected-saturated": 180},
        "failed": {},
        "unanswered": 0,
        "ttft_p50": None,
        "ttft_p99": None,
        "longest": 5.01,
        "outside_bound": 0,
    }
