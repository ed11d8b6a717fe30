"""A plugin distribution that pip installs beside ours is used by the name of its type."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from integration.gateways import Mode
from integration.model_servers import ModelServer
from integration.picker_process import separate_picker

pytestmark = pytest.mark.integration

DISTRIBUTION = Path(__file__).parents[1] / "third_party" / "turnout-example-plugin"
CONFIG = """\
apiVersion: turnout/v1
kind: EndpointPickerConfig
plugins:
- type: example-label-scorer
  parameters: {label: tier, value: gold}
schedulingProfiles:
- name: default
  plugins:
  - pluginRef: example-label-scorer
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip installed the distribution, without the network."""
    return asyncio.run(_install(tmp_path_factory.mktemp("site")))


async def _install(target: Path) -> Path:
    offline = ("--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check", "--quiet")
    status, output = await run("-m", "pip", "install", *offline, "--target", str(target), str(DISTRIBUTION))
    assert status == 0, output
    return target


async def run(*arguments: str, path: Path | None = None) -> tuple[int, str]:
    """Runs Python; returns its exit status and what it wrote."""
    environment = os.environ | ({"PYTHONPATH": str(path)} if path else {})
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *arguments),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


async def test_validate_knows_the_type_once_the_distribution_is_installed(installed: Path, tmp_path: Path) -> None:
    file = tmp_path / "epp.yaml"
    file.write_text(CONFIG)
    status, output = await run("-m", "turnout.epp", "validate", "--json", str(file), path=installed)
    assert status == 0, output
    assert "example-label-scorer" in json.dumps(json.loads(output))

    status, output = await run("-m", "turnout.epp", "validate", str(file))
    assert status == 2
    assert f"{file}:4" in output.replace("\n", "")
    assert "example-label-scorer" in output


async def test_a_constructor_s_complaint_is_a_problem_of_the_file(installed: Path, tmp_path: Path) -> None:
    file = tmp_path / "epp.yaml"
    file.write_text(CONFIG.replace("value: gold", "value: gold, otherwise: 2"))
    status, output = await run("-m", "turnout.epp", "validate", str(file), path=installed)
    assert status == 2
    assert "otherwise must be within [0, 1], got 2" in output


async def test_the_picker_picks_by_it(servers: list[ModelServer], installed: Path, tmp_path: Path) -> None:
    file = tmp_path / "epp.yaml"
    file.write_text(CONFIG)
    endpoints = [f"{server.url},tier={'gold' if server.name == 'c' else 'iron'}" for server in servers]
    arguments = ["--config-file", str(file), *(text for url in endpoints for text in ("--endpoint", url))]
    async with separate_picker(Mode.BUFFERED, tmp_path, arguments, pythonpath=installed) as (gateway, _):
        answers = [await gateway.chat(f"prompt {number}") for number in range(12)]
        assert [answer.served for answer in answers] == ["c"] * 12
        await gateway.still_serves()
