import asyncio
import io
import json

import pytest
from aiohttp import web
from rich.console import Console

from epp.doctor.pickers import answering, served
from epp.status.pickers import picker, target
from turnout.epp.cli import screen, status
from turnout.epp.cli.app import run


def status_of(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        run(["status", *arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_a_picker_that_is_fine_is_shown_with_status_0(capsys: pytest.CaptureFixture[str]) -> None:
    with served(picker()) as url:
        assert status_of("--admin-url", url) == 0
    out = capsys.readouterr().out
    assert out.startswith("ready\n\nendpoints: 1 of 2 in service\n")
    assert "\nqueue: 12 requests wait (3.4 MB)" in out
    assert "\npromises: 0 of 1 burning\n" in out


@pytest.mark.parametrize(
    ("app", "line"),
    [
        pytest.param(picker(readyz=(503, "draining\n")), "not ready: draining", id="draining"),
        pytest.param(picker(targets=[target(3.0, 2.0)]), "burning: chat spends its error budget", id="burning"),
    ],
)
def test_a_picker_that_is_not_fine_fails_the_command(
    app: web.Application, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(app) as url:
        assert status_of("--admin-url", url) == 1
    assert line in capsys.readouterr().out


def test_machines_get_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    with served(picker(targets=[target(3.0, 2.0)])) as url:
        assert status_of("--admin-url", url, "--json") == 1
    (line,) = capsys.readouterr().out.splitlines()
    document = json.loads(line)
    assert (document["fine"], document["ready"], document["targets"][0]["burning"]) == (False, True, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(("--admin-url", "9090"), "--admin-url must be http://HOST:PORT, not '9090'", id="no URL"),
        pytest.param(
            ("--admin-url", "http://127.0.0.1:1"), "cannot be read: Cannot connect to host", id="nobody there"
        ),
        pytest.param(("--watch", "0.5"), "--watch must be from 1 to 3600 seconds, not 0.5", id="watching too often"),
        pytest.param(("--watch", "1", "--admin-url", "9090"), "--admin-url must be", id="watching no URL"),
    ],
)
def test_what_cannot_be_asked_is_a_line_and_status_2(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("turnout: ")
    assert message in line


def test_something_else_on_the_port_is_a_line_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    with served(answering(404)) as url:
        assert status_of("--admin-url", url) == 2
    assert "answered 404" in capsys.readouterr().err


@pytest.fixture
def two_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds, sleep = iter(range(1)), asyncio.sleep

    async def next_round(seconds: float) -> None:
        if seconds != 5.0:  # the server's
            await sleep(seconds)
        elif next(rounds, None) is None:
            raise KeyboardInterrupt

    monkeypatch.setattr("asyncio.sleep", next_round)


@pytest.mark.usefixtures("two_rounds")
def test_watching_asks_again_and_outlives_a_picker_that_restarts(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of("--watch", "5", "--admin-url", "http://127.0.0.1:1") == 130
    assert len(capsys.readouterr().err.splitlines()) == 2


@pytest.mark.usefixtures("two_rounds")
@pytest.mark.parametrize(("arguments", "first"), [((), "ready"), (("--json",), "{")])
def test_what_is_watched_without_a_terminal_is_printed_each_time(
    arguments: tuple[str, ...], first: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(picker()) as url:
        assert status_of("--watch", "5", "--admin-url", url, *arguments) == 130
    assert sum(line.startswith(first) for line in capsys.readouterr().out.splitlines()) == 2


@pytest.mark.usefixtures("two_rounds")
@pytest.mark.parametrize(
    ("app", "shown"),
    [
        pytest.param(picker(), "endpoints: 1 of 2 in service", id="a picker"),
        pytest.param(answering(500), "/readyz answered 500", id="a picker that is not there at the moment"),
    ],
)
def test_what_is_watched_on_a_terminal_is_painted_over(
    app: web.Application, shown: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written = io.StringIO()
    terminal = Console(file=written, force_terminal=True, width=200)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(screen, "stdout", terminal)
    monkeypatch.setattr(status, "stdout", terminal)
    with served(app) as url:
        assert status_of("--watch", "5", "--admin-url", url) == 130
    assert written.getvalue().count(shown) >= 2
    assert "\x1b[2K" in written.getvalue()
    assert capsys.readouterr() == ("", "")
