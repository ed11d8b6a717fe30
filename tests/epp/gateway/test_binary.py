import subprocess
from importlib import metadata
from pathlib import Path

import pytest

from turnout.epp.gateway.binary import EnvoyNotFoundError, find_envoy


def _script(path: Path, mode: int = 0o755) -> Path:
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)
    return path


def _without_wheel(name: str) -> None:
    raise metadata.PackageNotFoundError(name)


def test_the_wheel_has_an_envoy_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ENVOY_BIN", raising=False)
    version = subprocess.run([find_envoy(), "--version"], capture_output=True, text=True, check=True)
    assert "/1.40.0/" in version.stdout


def test_envoy_bin_goes_before_the_wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mine = _script(tmp_path / "my-envoy")
    monkeypatch.setenv("ENVOY_BIN", str(mine))
    assert find_envoy() == mine


def test_path_is_searched_when_there_is_no_wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ENVOY_BIN", raising=False)
    monkeypatch.setattr(metadata, "files", _without_wheel)
    monkeypatch.setenv("PATH", str(tmp_path))
    envoy = _script(tmp_path / "envoy")
    assert find_envoy() == envoy


def test_without_any_envoy_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ENVOY_BIN", raising=False)
    monkeypatch.setattr(metadata, "files", _without_wheel)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvoyNotFoundError, match=r"pip install turnout\[envoy\].*ENVOY_BIN"):
        find_envoy()


def test_envoy_bin_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ENVOY_BIN", str(tmp_path / "nothing"))
    with pytest.raises(EnvoyNotFoundError, match=r"ENVOY_BIN names .*/nothing, which is not a file"):
        find_envoy()


def test_envoy_bin_without_the_executable_bit_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ENVOY_BIN", str(_script(tmp_path / "envoy", 0o644)))
    with pytest.raises(EnvoyNotFoundError, match="may not be executed"):
        find_envoy()
