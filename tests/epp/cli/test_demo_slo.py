from dataclasses import replace
from pathlib import Path

import pytest

from epp.demo.slo.test_report import REPORT, RUN
from turnout.epp.cli.demo_slo import show


def test_goals_are_shown_and_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "slo.json"
    assert not show(REPORT, file)
    shown = capsys.readouterr().out
    assert "MISSED: slo-first meets more targets than default: 88.0% against 88.0%" in shown
    assert file.exists()


def test_what_is_reached_is_a_success() -> None:
    worse = replace(RUN, targets={target: replace(each, met=each.met - 50) for target, each in RUN.targets.items()})
    good = replace(RUN, failed=0, refused=0)
    others = {"least-request": replace(worse, failed=0), "default": replace(worse, failed=0)}
    light = {"slo-first, 60%": good, "cost-first, 60%": replace(good, cost=0.1)}
    runs = {**others, "slo-first": good, **light}
    assert show(replace(REPORT, runs=runs), None)
