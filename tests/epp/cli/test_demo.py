import json
import subprocess
import sys
from pathlib import Path

import pytest

from turnout.epp.cli.app import run


@pytest.mark.integration
def test_the_demo_prints_a_table_and_writes_the_figures(tmp_path: Path) -> None:
    file = tmp_path / "demo.json"
    command = [sys.executable, "-m", "turnout.epp", "demo", "--duration", "1", "--seed", "3", "--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert "Round robin against Turnout" in done.stdout
    assert "Why one of the requests went where it went" in done.stdout
    runs = json.loads(file.read_text())["runs"]
    assert list(runs) == ["round-robin", "turnout"]
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
