import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from epp.topology.doubles import environment, turnout
from turnout.epp.cli.app import run

Libraries = Callable[[str], Path | None]
PAIRS = "four A100 in pairs"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(("--json", "--labels"), "--json and --labels exclude each other", id="two kinds of output"),
        pytest.param(("--serve", "9420"), "--serve must be HOST:PORT, such as 0.0.0.0:9420, not '9420'", id="no host"),
        pytest.param(("--serve", "::1:9420"), "--serve must be HOST:PORT", id="IPv6 without brackets"),
        pytest.param(("--serve", "a:70000"), "--serve must be HOST:PORT", id="no such port"),
        pytest.param(("--serve", "a:1", "--json"), "leave --json, --labels, --write and --watch out", id="both"),
        pytest.param(("--watch", "0.5"), "--watch must be from 1 to 3600 seconds, not 0.5", id="watching too often"),
    ],
)
def test_a_wrong_command_line_is_a_line_and_status_2(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(["topology", *arguments])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("turnout: ")
    assert message in line


def test_without_its_extra_the_command_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SystemExit) as ended:
        run(["topology"])
    assert ended.value.code == 2
    assert capsys.readouterr().err == "turnout: nvidia-ml-py is not installed. Run: pip install 'turnout[gpu]'\n"


def test_labels_are_printed_for_an_endpoints_file(printed_by: Callable[..., str]) -> None:
    assert json.loads(printed_by("an A100 in slices", "--labels")) == {
        "gpu-type": "NVIDIA-A100-SXM4-40GB",
        "gpu-memory": "40960Mi",
        "gpu-count": "2",
        "gpu-topology": "pcie",
        "mig-config": "1g.5gb:1,1g.5gb+me:1,2g.10gb:1,3g.20gb:1",
    }


def test_a_file_gets_what_would_be_printed(
    tmp_path: Path, library_of: Libraries, printed_by: Callable[..., str]
) -> None:
    path = tmp_path / "labels.json"
    for word in ("written", "unchanged"):
        done = turnout(library_of(PAIRS), "topology", "--labels", "--write", str(path))
        assert (done.returncode, done.stdout, done.stderr) == (0, "", f"{path}: {word}\n")
    assert path.read_text() == printed_by(PAIRS, "--labels")


def test_a_file_that_cannot_be_written_is_a_line_and_status_1(library_of: Libraries) -> None:
    done = turnout(library_of(PAIRS), "topology", "--write", "/nonexistent/topology.json")
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("turnout: [Errno 2] No such file or directory")


def test_the_agent_serves_what_is_printed_until_it_is_told_to_stop(
    library_of: Libraries, printed_by: Callable[..., str]
) -> None:
    words = ["topology", "--serve", "127.0.0.1:0", "--node-name", "worker-7"]
    with subprocess.Popen(
        [sys.executable, "-m", "turnout.epp", *words],
        env={**environment(library_of(PAIRS)), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    ) as agent:
        try:
            assert agent.stdout
            url = agent.stdout.readline().split()[-1]
            with urllib.request.urlopen(url, timeout=60) as answer:
                served = json.load(answer)
        finally:
            agent.send_signal(signal.SIGTERM)
        assert agent.wait(timeout=60) == 0
    printed = json.loads(printed_by(PAIRS, "--json"))
    assert {**served, "read_at": None} == {**printed, "read_at": None}


def test_an_address_that_cannot_be_had_is_a_line_and_status_1(library_of: Libraries) -> None:
    done = turnout(library_of(PAIRS), "topology", "--serve", "192.0.2.1:9420")
    assert (done.returncode, done.stdout) == (1, "")
    assert "192.0.2.1" in done.stderr
    assert "Traceback" not in done.stderr


def test_watching_reads_again_until_it_is_interrupted(library_of: Libraries) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "turnout.epp", "topology", "--watch", "1", "--json"],
        env={**environment(library_of(PAIRS)), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as watching:
        try:
            assert watching.stdout
            first, second = (json.loads(watching.stdout.readline()) for _ in range(2))
        finally:
            watching.send_signal(signal.SIGINT)
        assert watching.wait(timeout=60) == 130
    assert first["gpus"] == second["gpus"]
