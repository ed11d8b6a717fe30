import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from turnout.epp.cli.app import run


@pytest.mark.integration
def test_the_demo_prints_a_table_and_writes_the_figures(tmp_path: Path) -> None:
    file = tmp_path / "demo.json"
    command = [sys.executable, "-m", "turnout.epp", "demo", "--duration", "1", "--seed", "3", "--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert "Envoy's round robin and least request against Turnout" in done.stdout
    assert "Why one of the requests went where it went" in done.stdout
    written = json.loads(file.read_text())
    assert set(written["ceiling"]) == {
        "best",
        "best_balanced",
        "best_without_foresight",
        "tries",
        "one_cache",
        "infinite",
    }
    runs = written["runs"]
    assert list(runs) == ["round-robin", "least-request", "turnout"]
    for figures in runs.values():
        assert set(figures) == {
            "requests",
            "errors",
            "ttft_p50_ms",
            "ttft_p90_ms",
            "ttft_p99_ms",
            "output_tokens_per_s",
            "prefix_hit_rate",
            "requests_per_endpoint",
        }
        assert figures["errors"] == 0


def test_a_silly_duration_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(["demo", "--duration", "0"])
    assert ended.value.code == 2
    assert "--duration must be from 1 to 600 seconds" in capsys.readouterr().err


def test_only_chats_can_be_kept(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(["demo", "--scenario", "overload", "--keep"])
    assert ended.value.code == 2
    assert "--keep is for the scenario chat" in capsys.readouterr().err


@pytest.mark.integration
def test_the_overload_scenario_prints_its_goals_and_writes_the_figures(tmp_path: Path) -> None:
    file = tmp_path / "demo.json"
    command = [sys.executable, "-m", "turnout.epp", "demo", "--scenario", "overload"]
    options = ["--duration", "4", "--seed", "3", "--json", str(file)]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=100, check=False)
    written = json.loads(file.read_text())
    # The times of so short a run on a busy machine prove nothing, but the status has to follow from them.
    reached = [goal["reached"] for goal in written["goals"]]
    assert done.returncode == (0 if all(reached) else 1), done.stderr
    assert done.stdout.count("reached: ") == reached.count(True)
    assert done.stdout.count("MISSED: ") == reached.count(False)
    assert list(written["runs"]) == ["unloaded", "without", "with"]
    for name, figures in written["runs"].items():
        for level in figures["levels"].values():
            assert name == "with" or level["refused"] == {}
            ends = (level["served"], *level["refused"].values(), *level["failed"].values())
            assert level["sent"] == sum(ends)
            assert level["unanswered"] == 0


@pytest.mark.integration
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_an_interrupted_demo_leaves_no_process(number: signal.Signals) -> None:
    # The marker is inherited by every process that the demo starts, and by theirs.
    marker = f"TURNOUT_TEST_MARKER={number}-{os.getpid()}"
    name, _, value = marker.partition("=")
    demo = subprocess.Popen(
        [sys.executable, "-m", "turnout.epp", "demo", "--duration", "60"],
        env=os.environ | {name: value},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        # Four servers, the gateway's process and its Envoy.
        _until(lambda: len(_processes_with(marker)) >= 7)
        demo.send_signal(number)
        assert demo.wait(timeout=60) == 130
        assert _processes_with(marker) == []
    finally:
        demo.kill()
        demo.wait()


def _processes_with(marker: str) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        try:
            environment = (folder / "environ").read_bytes()
        except OSError:
            continue
        if folder.name.isdigit() and marker.encode() in environment.split(b"\0"):
            found.append(int(folder.name))
    return found


def _until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)
