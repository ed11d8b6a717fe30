from pathlib import Path

import pytest

from turnout.plugins.latency.learnt_file import MAX_FILE_BYTES, read_learnt, write_learnt

FACTORS = {"h100": {"ttft": {"prompt": 2.5}, "tpot": {"weights": 0.9}}}


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "learnt.json"
    assert read_learnt(path) == {}
    write_learnt(path, {"other": {}})
    write_learnt(path, FACTORS)
    assert read_learnt(path) == FACTORS
    assert [each.name for each in tmp_path.iterdir()] == ["learnt.json"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "is no file of learnt latencies", id="empty"),
        pytest.param(b'{"mark":"turnout-latency-1"', "is no file of learnt latencies", id="cut short"),
        pytest.param(b'{"mark":"other","variants":{}}', "has the mark 'other'", id="something else"),
        pytest.param(
            b'{"mark":"turnout-latency-1","variants":{"v":{"ttft":{"prompt":-1}}}}',
            "factor prompt of ttft of variant 'v' is -1.0",
            id="a negative factor",
        ),
        pytest.param(b" " * (MAX_FILE_BYTES + 1), "has more than", id="too long"),
        pytest.param(b"\xff", "is no file of learnt latencies", id="not UTF-8"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "learnt.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_learnt(path)
