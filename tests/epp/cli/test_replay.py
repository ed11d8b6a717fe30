import json
from pathlib import Path

import pytest

from epp.simulator.replay.traces import conversations, written
from turnout.epp.cli.app import run

CONFIG = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\nplugins:\n- type: queue-scorer\n"


def replay(folder: Path, *arguments: str) -> int:
    trace = written(folder, conversations(count=10, turns=3))
    (folder / "epp.yaml").write_text(CONFIG)
    try:
        run(["replay", "--trace", str(trace), *(word.replace("FOLDER", str(folder)) for word in arguments)])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_routers_are_compared_in_a_table_above_the_ceiling(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--config", "mine=FOLDER/epp.yaml", "--router", "least-request,random", "--endpoints", "2")
    assert replay(tmp_path, *arguments, "--changes", "5") == 0
    shown = capsys.readouterr().out
    assert "Replay of 30 requests" in shown
    assert all(name in shown for name in ("mine", "least-request", "random"))
    assert "Best assignment found: " in shown


def test_machines_get_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert replay(tmp_path, "--config", "mine=FOLDER/epp.yaml", "--requests", "9", "--no-ceiling", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert list(document) == ["arms"]
    assert document["arms"]["mine"]["requests"] == 9
    assert document["arms"]["mine"]["refused"] == 0
    assert len(document["arms"]["mine"]["requests_per_endpoint"]) == 8


def test_the_ceiling_is_in_the_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert replay(tmp_path, "--router", "round-robin", "--json", "--changes", "0") == 0
    assert json.loads(capsys.readouterr().out)["ceiling"]["tries"].keys() >= {"hash of 2 blocks"}


def test_the_best_assignments_can_be_replayed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert replay(tmp_path, "--router", "random", "--endpoints", "2", "--replay-ceiling", "--json") == 0
    arms = json.loads(capsys.readouterr().out)["arms"]
    assert list(arms) == ["random", "best assignment", "best balanced", "best of no foresight"]
    assert arms["best balanced"]["hit_rate"] > arms["random"]["hit_rate"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        pytest.param((), "nothing to compare: give --config NAME=FILE", id="no router"),
        pytest.param(("--router", "fastest"), "--router 'fastest': expected round-robin", id="an unknown router"),
        pytest.param(("--config", "epp.yaml"), "--config 'epp.yaml': expected NAME=FILE", id="no name"),
        pytest.param(
            ("--router", "random", "--config", "random=FOLDER/epp.yaml"),
            "the name 'random' is taken",
            id="a name twice",
        ),
        pytest.param(("--config", "a=FOLDER/absent"), "absent:1: document: cannot be read", id="a missing file"),
        pytest.param(("--router", "random", "--speed", "0"), "--speed must be above 0, not 0", id="speed"),
        pytest.param(("--router", "random", "--requests", "0"), "--requests must be at least 1, not 0", id="requests"),
        pytest.param(("--router", "random", "--changes", "-1"), "--changes must be from 0 to 1000000", id="changes"),
        pytest.param(("--router", "random", "--endpoints", "0"), "endpoints must be from 1 to 1024", id="endpoints"),
        pytest.param(("--router", "random", "--num-blocks", "9"), "num_blocks x block_size (144 tokens)", id="blocks"),
    ],
)
def test_what_cannot_be_replayed_is_refused(
    tmp_path: Path, arguments: tuple[str, ...], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replay(tmp_path, *arguments) == 2
    assert complaint in capsys.readouterr().err


def test_a_bad_trace_is_named_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_text("{}\n")
    with pytest.raises(SystemExit) as ended:
        run(["replay", "--trace", str(file), "--router", "random"])
    assert ended.value.code == 2
    assert "bad.jsonl:1: Object missing required field" in capsys.readouterr().err
