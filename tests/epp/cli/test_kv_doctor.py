import json

import pytest

from epp.doctor.pickers import answering, healthy, served, sick
from turnout.epp.cli.app import run


def status_of(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        run(["kv-doctor", *arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_a_picker_whose_predictions_come_true_is_fine(capsys: pytest.CaptureFixture[str]) -> None:
    with served(healthy().app()) as url:
        assert status_of("--admin-url", url) == 0
    out = capsys.readouterr().out
    assert "default/a        40  52,000 (81%)       25,500 / 26,000  19 of 20          75%   1,234" in out
    assert out.endswith("Nothing found.\n")


def test_findings_are_shown_and_fail_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    with served(sick().app()) as url:
        assert status_of("--admin-url", url) == 1
    out = capsys.readouterr().out
    assert "silent-zero-reported at default/a: The engine reports nothing. Look at it." in out
    assert "Nothing found." not in out


def test_machines_get_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    with served(sick().app()) as url:
        assert status_of("--admin-url", url, "--json") == 1
    (line,) = capsys.readouterr().out.splitlines()
    (producer,) = json.loads(line)["producers"]
    assert producer["findings"][0]["cause"] == "silent-zero-reported"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(("--admin-url", "9090"), "--admin-url must be http://HOST:PORT, not '9090'", id="no URL"),
        pytest.param(
            ("--admin-url", "http://127.0.0.1:1"), "cannot be read: Cannot connect to host", id="nobody there"
        ),
        pytest.param(("--watch", "0.5"), "--watch must be from 1 to 3600 seconds, not 0.5", id="watching too often"),
        pytest.param(("--watch", "nan"), "--watch must be from 1 to 3600 seconds, not nan", id="no number"),
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


def test_watching_asks_again_and_outlives_a_picker_that_restarts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rounds = iter(range(2))

    async def next_round(seconds: float) -> None:
        assert seconds == 5.0
        if next(rounds, None) is None:
            raise KeyboardInterrupt

    monkeypatch.setattr("asyncio.sleep", next_round)
    assert status_of("--watch", "5", "--admin-url", "http://127.0.0.1:1") == 130
    assert len(capsys.readouterr().err.splitlines()) == 3
