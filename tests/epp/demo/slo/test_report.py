import json
from dataclasses import replace

from rich.console import Console

from turnout.epp.demo.slo.arms import ARMS, Load
from turnout.epp.demo.slo.figures import RunFigures, TargetFigures
from turnout.epp.demo.slo.report import Report, as_dict, doubts, notes, table
from turnout.epp.demo.slo.workload import Arrival

FIGURES = {
    0.3: TargetFigures(200, 150, 0.151, 1.234),
    1.0: TargetFigures(200, 190, 0.2, 1.5),
    4.0: TargetFigures(100, 100, 0.2, 2.5),
}
RUN = RunFigures(FIGURES, 3, 1, 0.2517, 0.002)
REPORT = Report(
    [
        Load(3, 20.0, 0.9, [Arrival(number, 0.0, 1.0, 100, 10) for number in range(500)]),
        Load(3, 20.0, 0.6, [Arrival(number, 0.0, 1.0, 100, 10) for number in range(300)]),
    ],
    dict.fromkeys(ARMS, RUN),
)


def lines() -> list[str]:
    console = Console(width=80, record=True)
    console.print(table(REPORT))
    return [" ".join(line.split()) for line in console.export_text().splitlines()]


def test_the_table_has_a_line_for_each_run_and_fits_into_80_columns() -> None:
    assert "slo-first 88.0% 75.0% 95.0% 100.0% 151 1,234 4 0.2517" in lines()
    assert not any("…" in line for line in lines())


def test_notes_state_servers_and_load() -> None:
    servers, load, meaning = notes(REPORT)
    assert servers.startswith("Servers: 2 fast at 1/2 of the speed of an H100 for $0.40 and $1.20 per million")
    assert load.startswith("Load: 18.0 and 12.0 requests/s, 90% and 60% of what")
    assert load.endswith("500 and 300 requests of seed 3.")
    assert "counts as late" in meaning


def test_a_busy_machine_is_said_to_be_one() -> None:
    assert doubts(REPORT) == []
    late = replace(REPORT, runs={**REPORT.runs, "default": replace(RUN, late_p99=0.05)})
    assert doubts(late) == ["The client of default was 50 ms late to send: the machine is busy, times are too long."]


def test_the_document_has_every_figure() -> None:
    document = json.loads(json.dumps(as_dict(REPORT)))
    assert document["runs"]["slo-first"]["attainment"] == 0.88
    assert document["runs"]["slo-first"]["targets"]["0.3"]["met"] == 150
    assert document["rates"] == [18.0, 12.0]
    assert {goal["reached"] for goal in document["goals"]} == {True, False}
