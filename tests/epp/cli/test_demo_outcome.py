import json
from pathlib import Path

import pytest
from rich.table import Table

from turnout.epp.cli.demo_outcome import Outcome, show
from turnout.epp.demo.timed.goals import Goal


@pytest.mark.parametrize("reached", [True, False])
def test_everything_is_shown_and_one_missed_goal_tells(
    reached: bool, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    goals = [Goal("first", reached=True), Goal("second", reached=reached)]
    outcome = Outcome(Table("t"), ["a note"], ["a doubt"], goals, {"figure": 1})
    assert show(outcome, tmp_path / "o.json") is reached
    shown = capsys.readouterr().out
    assert all(words in shown for words in ("a note", "a doubt", "reached: first"))
    assert ("MISSED: second" in shown) is not reached
    assert json.loads((tmp_path / "o.json").read_text()) == {"figure": 1}
