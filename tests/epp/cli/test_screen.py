import asyncio
import io
import json

import pytest
import typer
from rich.console import Console
from rich.text import Text

from turnout.epp.cli import screen


def test_an_expected_error_is_one_line_and_a_status(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended, screen.errors_as_messages(OSError, status=3):
        raise OSError("port [80] is taken")
    assert ended.value.exit_code == 3
    assert capsys.readouterr().err == "turnout: port [80] is taken\n"


def test_tracebacks_are_shown_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen.Settings, "show_tracebacks", True)
    with pytest.raises(OSError, match="taken"), screen.errors_as_messages(OSError):
        raise OSError("taken")


def test_other_errors_pass() -> None:
    with pytest.raises(KeyError), screen.errors_as_messages(OSError):
        raise KeyError("x")


def test_json_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    screen.print_json({"a": [1, None]})
    assert json.loads(capsys.readouterr().out) == {"a": [1, None]}


def test_a_coroutine_runs_on_uvloop() -> None:
    async def loop_module() -> str:
        return type(asyncio.get_running_loop()).__module__

    assert screen.run_loop(loop_module()) == "uvloop"


@pytest.mark.parametrize("seconds", [None, 1.0, 3600.0])
def test_a_watch_within_its_bounds_is_fine(seconds: float | None) -> None:
    screen.check_watch(seconds)


def test_what_is_repainted_takes_the_place_of_what_was_there_and_is_no_wider_than_the_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = io.StringIO()
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(screen, "stdout", Console(file=written, force_terminal=True))
    with screen.repainted() as paint:
        paint(Text("first\nof two lines"))
        before = len(written.getvalue())
        paint(Text("second " + "x" * 30))
        painted = written.getvalue()[before:]
    # Two lines are erased, then one is written, with an ellipsis where it was cut.
    assert painted.count("\x1b[2K") == 2
    assert "second xxxxxxxxxxxx\N{HORIZONTAL ELLIPSIS}" in painted
