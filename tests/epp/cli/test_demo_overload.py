import json
from dataclasses import replace
from pathlib import Path

import pytest

from turnout.epp.cli.demo_overload import show
from turnout.epp.demo.overload.arms import Load
from turnout.epp.demo.overload.figures import LevelFigures, RunFigures
from turnout.epp.demo.overload.profiles import Bounds
from turnout.epp.demo.overload.report import Report

CRITICAL = LevelFigures(100, 100, {}, {}, 0, 0.06, 0.2, 0.25, 0)
RUN = RunFigures({"critical": CRITICAL}, 30.0, 19.0, 0.001)
REPORT = Report(Load(0, 20.0, []), Bounds(5.0, 6.0, 5.25), {"unloaded": RUN, "without": RUN, "with": RUN})


def test_reached_goals_are_shown_and_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "overload.json"
    assert show(REPORT, file)
    shown = capsys.readouterr().out
    assert "reached: critical TTFT p99 / unloaded: 1.00 (at most 1.2)" in shown
    assert "MISSED" not in shown
    assert json.loads(file.read_text())["critical_ratio"] == {"without": 1.0, "with": 1.0}


def test_a_missed_goal_is_shown_and_told(capsys: pytest.CaptureFixture[str]) -> None:
    slow = replace(RUN, levels={"critical": replace(CRITICAL, ttft_p99=0.3)})
    assert not show(replace(REPORT, runs={**REPORT.runs, "with": slow}), None)
    assert "MISSED: critical TTFT p99 / unloaded: 1.50 (at most 1.2)" in capsys.readouterr().out
