import asyncio
import json

import pytest
import typer

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
