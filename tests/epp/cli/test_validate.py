import json
from pathlib import Path

import pytest

from turnout.epp.cli.app import run

GOOD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\nplugins:\n- type: queue-scorer\n"
BAD = """apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- type: queue-scorr
schedulingProfiles:
- name: default
  plugins:
  - pluginRef: nobody
"""


def validate(folder: Path, text: str, *arguments: str) -> int:
    file = folder / "epp.yaml"
    file.write_text(text)
    with pytest.raises(SystemExit) as ended:
        run(["validate", str(file), *arguments])
    status = ended.value.code
    assert isinstance(status, int)
    return status


def test_a_good_file_is_shown_with_its_defaults_marked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert validate(tmp_path, GOOD) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "- type: queue-scorer" in lines
    assert "- type: max-score-picker  # default" in lines


def test_every_problem_is_shown_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert validate(tmp_path, BAD) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(f"{tmp_path}/epp.yaml:4: plugins[0].type: unknown plugin type 'queue-scorr'")
    assert second.startswith(f"{tmp_path}/epp.yaml:8: schedulingProfiles[0].plugins[0].pluginRef: 'nobody'")


def test_machines_get_json_either_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert validate(tmp_path, GOOD, "--json") == 0
    good = json.loads(capsys.readouterr().out)
    assert good["valid"]
    assert "schedulingProfiles" in good["injected"]
    assert validate(tmp_path, BAD, "--json") == 2
    bad = json.loads(capsys.readouterr().out)
    assert [(problem["line"], problem["path"]) for problem in bad["problems"]] == [
        (4, "plugins[0].type"),
        (8, "schedulingProfiles[0].plugins[0].pluginRef"),
    ]


def test_a_missing_file_is_a_problem_and_no_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(["validate", str(tmp_path / "absent.yaml")])
    assert ended.value.code == 2
    assert "absent.yaml" in capsys.readouterr().err
