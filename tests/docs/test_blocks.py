"""Every fenced block of README.md and docs/ is run, loaded or parsed; what each needs is in ``docs.blocks``."""

import json
import sys
import tomllib
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from docs.blocks import LANGUAGES, Block, all_blocks, blocks_of, pages
from docs.commands import check_known, check_output, steps
from turnout.config import ConfigError, load_pipeline
from turnout.epp.datalayer.discovery.listing import parse_endpoints
from turnout.framework import Registry
from turnout.framework.registry import ENTRY_POINT_GROUP


def by_place(*languages: str) -> list[object]:
    return [pytest.param(block, id=block.place) for block in all_blocks(*languages)]


def execute(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs the block as a module of its own, which the rest of the test can import."""
    module = ModuleType(block.options.get("module", "block"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    code = compile(block.text, block.place, "exec")
    exec(code, module.__dict__)


def modules_before(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the page's modules above the block importable."""
    for earlier in blocks_of(block.page):
        if earlier.line < block.line and "module" in earlier.options:
            execute(earlier, monkeypatch)


def registry_of(page: str) -> Registry:
    """What is installed, and what the page's own distributions offer."""
    own = [
        EntryPoint(name, value, ENTRY_POINT_GROUP)
        for block in blocks_of(page)
        if block.language == "toml"
        for name, value in plugins_in(block).items()
    ]
    return Registry.from_entry_points([*entry_points(group=ENTRY_POINT_GROUP), *own])


def plugins_in(block: Block) -> dict[str, str]:
    project = tomllib.loads(block.text).get("project", {})
    found: dict[str, str] = project.get("entry-points", {}).get(ENTRY_POINT_GROUP, {})
    return found


def test_the_pages_have_blocks() -> None:
    assert len(all_blocks()) > 35


@pytest.mark.parametrize("page", pages())
def test_every_block_has_a_language_that_is_checked(page: str) -> None:
    assert {block.language for block in blocks_of(page)} <= LANGUAGES


@pytest.mark.parametrize("block", by_place("python"))
def test_a_python_block_runs(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    modules_before(block, monkeypatch)
    execute(block, monkeypatch)


@pytest.mark.parametrize("block", by_place("yaml"))
def test_a_yaml_block_loads(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    if "endpoints" in block.options:
        assert parse_endpoints(block.text.encode())
    elif "kubernetes" in block.options:
        assert all({"apiVersion", "kind", "metadata"} <= set(one) for one in yaml.safe_load_all(block.text))
    elif "broken" in block.options:
        with pytest.raises(ConfigError):
            load_pipeline(block.text)
    else:
        modules_before(block, monkeypatch)
        assert load_pipeline(block.text, source=block.place, registry=registry_of(block.page)).warnings == ()


@pytest.mark.parametrize("block", by_place("toml"))
def test_a_toml_block_parses_and_its_plugins_exist(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    modules_before(block, monkeypatch)
    for name, value in plugins_in(block).items():
        assert callable(EntryPoint(name, value, ENTRY_POINT_GROUP).load())


@pytest.mark.parametrize("block", by_place("json"))
def test_a_json_block_parses(block: Block) -> None:
    assert json.loads(block.text)


@pytest.mark.parametrize("block", by_place("console"))
def test_a_console_block_does_what_it_shows(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for other in blocks_of(block.page):
        if "file" in other.options:
            (tmp_path / other.options["file"]).write_text(other.text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    for step in steps(block.text):
        if step.words[0] == "turnout" and "long-running" not in block.options:
            check_output(step, int(block.options.get("status", "0")))
        else:
            check_known(step.words)
