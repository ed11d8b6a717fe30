import subprocess
import sys

import pytest

from turnout.epp import entry


def test_a_missing_extra_is_named_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(entry, "_NEEDED", ("rich", "no_such_package_here"))
    with pytest.raises(SystemExit) as ended:
        entry.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == "turnout: no_such_package_here not installed. Run: pip install 'turnout[epp]'\n"


def test_the_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "turnout.epp", "--help"], capture_output=True, text=True, check=True, timeout=60
    )
    assert "Usage: turnout" in done.stdout
