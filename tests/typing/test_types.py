"""Hands files and snippets to mypy, with the project's configuration."""

import runpy
import textwrap
from pathlib import Path

import pytest
from mypy import api

from docs.blocks import all_blocks

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PREAMBLE = """
from turnout.framework import AttributeKey, CycleState, Endpoint, KeyFamily, Scorer, StateKey

state = CycleState()
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all runs of the module, apart from the one that people use."""
    return tmp_path_factory.mktemp("mypy")


def check(path: Path, cache: Path) -> tuple[str, int]:
    """What mypy prints and its exit status."""
    options = ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(cache), "--no-error-summary"]
    out, problems, status = api.run([*options, "--no-pretty", str(path)])
    return out + problems, status


@pytest.mark.parametrize(
    "file",
    [
        pytest.param("typing/assert_types.py", id="the types of keys, state and results"),
        pytest.param("typing/third_party_plugin.py", id="a third party's plugin"),
        pytest.param("third_party/turnout-example-plugin/turnout_example_plugin.py", id="a distribution of one file"),
    ],
)
def test_a_file_type_checks_strictly(file: str, cache: Path) -> None:
    assert check(HERE.parent / file, cache) == ("", 0)


def test_the_plugins_of_the_pages_type_check_strictly(tmp_path: Path, cache: Path) -> None:
    modules = [block for block in all_blocks("python") if "module" in block.options]
    assert len(modules) > 10
    for block in modules:
        (tmp_path / f"{block.options['module']}.py").write_text(block.text)
    assert check(tmp_path, cache) == ("", 0)


def test_the_asserted_types_are_those_of_the_running_program() -> None:
    runpy.run_path(str(HERE / "assert_types.py"), run_name="__main__")


@pytest.mark.parametrize(
    ("snippet", "error"),
    [
        pytest.param(
            'wide: StateKey[float] = StateKey[int]("k")',
            '"StateKey[int]", variable has type "StateKey[float]"',
            id="a key is not covariant",
        ),
        pytest.param(
            'narrow: StateKey[bool] = StateKey[int]("k")',
            '"StateKey[int]", variable has type "StateKey[bool]"',
            id="nor contravariant",
        ),
        pytest.param(
            'key: AttributeKey[object] = AttributeKey[int]("k")',
            '"AttributeKey[int]", variable has type "AttributeKey[object]"',
            id="an attribute key neither",
        ),
        pytest.param(
            'family: KeyFamily[float] = KeyFamily[int]("k", "p")',
            '"KeyFamily[int]", variable has type "KeyFamily[float]"',
            id="a family of keys neither",
        ),
        pytest.param(
            'state.write(StateKey[int]("k"), "one")',
            'Cannot infer value of type parameter "T" of "write" of "CycleState"',
            id="a value of another type",
        ),
        pytest.param(
            'text: str = state.read(StateKey[int]("k"))',
            'Incompatible types in assignment (expression has type "int", variable has type "str")',
            id="read as another type",
        ),
        pytest.param(
            'number: int = state.get(StateKey[int]("k"))',
            'Incompatible types in assignment (expression has type "int | None", variable has type "int")',
            id="get may be None",
        ),
        pytest.param(
            "class Silent:\n    def score(self) -> None: ...\n\nscorer: Scorer = Silent()",
            'Incompatible types in assignment (expression has type "Silent", variable has type "Scorer")',
            id="a scorer without parameters",
        ),
    ],
)
def test_a_mistake_is_found(snippet: str, error: str, tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "mistake.py"
    path.write_text(PREAMBLE + textwrap.dedent(snippet))
    printed, status = check(path, cache)
    assert status == 1
    assert error in printed
