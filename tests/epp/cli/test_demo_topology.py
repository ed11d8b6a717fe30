from dataclasses import replace
from pathlib import Path

import pytest

from epp.demo.topology.test_report import MOVED, REPORT, RUN
from turnout.epp.cli.demo_topology import show


def test_goals_are_shown_and_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "topology.json"
    assert not show(REPORT, file)
    shown = capsys.readouterr().out
    assert "MISSED: KV transfer time per request at most half of the blind picks': 24.8 ms against 24.8 ms" in shown
    assert "reached: TTFT p90 not above the blind picks': 900 ms against 900 ms" in shown
    assert file.exists()


def test_what_is_reached_is_a_success() -> None:
    served = replace(RUN, refused=0, failed=0)
    aware = replace(served, transfers=replace(MOVED, seconds=1.0))
    assert show(replace(REPORT, runs={**dict.fromkeys(REPORT.runs, served), "topology-aware": aware}), None)
