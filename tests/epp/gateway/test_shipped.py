import subprocess
from pathlib import Path

import pytest

from turnout.epp.gateway.binary import find_envoy
from turnout.epp.gateway.shipped import shipped_files

FOLDER = Path(__file__).parents[3] / "config" / "envoy"
NAMES = (
    "buffered-original-dst.yaml",
    "buffered-override-host.yaml",
    "full-duplex-original-dst.yaml",
    "full-duplex-override-host.yaml",
)


def test_the_shipped_files_are_what_the_generator_writes() -> None:
    on_disk = {path.name: path.read_text() for path in FOLDER.iterdir()}
    assert sorted(on_disk) == list(NAMES)
    assert on_disk == shipped_files(), "run: python -m turnout.epp.gateway.shipped config/envoy"


@pytest.mark.integration
@pytest.mark.parametrize("name", NAMES)
def test_envoy_accepts_a_shipped_file_without_a_warning(name: str) -> None:
    command = [str(find_envoy()), "--mode", "validate", "-c", str(FOLDER / name), "--log-level", "warning"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
