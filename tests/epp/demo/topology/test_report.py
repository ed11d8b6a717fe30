import json
from dataclasses import replace

from rich.console import Console

from turnout.epp.demo.topology.arms import ARMS, Load
from turnout.epp.demo.topology.figures import RunFigures
from turnout.epp.demo.topology.report import Report, as_dict, doubts, notes, table
from turnout.epp.demo.topology.transfers import Transfers
from turnout.epp.demo.topology.workload import Arrival

MOVED = Transfers({"NVLink": 300, "same node": 60, "network": 40}, 12.4, 0.0613, 0)
RUN = RunFigures(500, 1, 2, MOVED, {number: number / 100 for number in range(101)}, 0.002)
REPORT = Report(Load(3, 40.0, [Arrival(number, 0.0, 0, 100, 10) for number in range(500)]), dict.fromkeys(ARMS, RUN))


def lines() -> list[str]:
    console = Console(width=80, record=True)
    console.print(table(REPORT))
    return [" ".join(line.split()) for line in console.export_text().splitlines()]


def test_the_table_has_a_line_for_each_run_and_fits_into_80_columns() -> None:
    assert "topology-aware 24.8 61 75% 15% 10% 500 900 990 3" in lines()
    assert not any("…" in line for line in lines())


def test_a_run_without_transfers_has_no_times_of_them() -> None:
    empty = replace(RUN, transfers=Transfers({}, 0.0, float("nan"), 0), ttfts={})
    console = Console(width=80, record=True)
    console.print(table(replace(REPORT, runs={"none": empty})))
    assert "none 0.0 0% 0% 0% 3" in [" ".join(line.split()) for line in console.export_text().splitlines()]


def test_notes_state_servers_ways_load_and_gain() -> None:
    servers, ways, load, gain, meaning = notes(REPORT)
    assert servers.startswith("Servers: 16 at 1/6 of the speed of an H100")
    assert "300 GB/s (NVLink), 63 GB/s (same node), 12.5 GB/s (network)" in ways
    assert load.startswith("Load: 20.0 requests/s, 50% of the prompts")
    assert "500 requests of seed 3" in load
    assert gain.startswith("Topology-aware TTFT p90 is 0 ms less than blind")
    assert meaning.startswith("Times count from")


def test_a_busy_machine_is_said_to_be_one() -> None:
    assert doubts(REPORT) == []
    late = replace(REPORT, runs={**REPORT.runs, "random": replace(RUN, late_p99=0.05)})
    assert doubts(late) == ["The client of random was 50 ms late to send: the machine is busy, times are too long."]


def test_the_document_has_every_figure() -> None:
    document = json.loads(json.dumps(as_dict(REPORT)))
    run = document["runs"]["topology-blind"]
    assert run["transfer_seconds_per_request"] == 0.0248
    assert run["transfers"]["by_way"] == {"NVLink": 300, "same node": 60, "network": 40}
    assert run["ttft_p90"] == 0.9
    assert document["ttft_p90_gain"]["seconds"] == 0.0
    assert [goal["reached"] for goal in document["goals"]] == [False, True, False]
