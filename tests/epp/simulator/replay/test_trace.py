from pathlib import Path

import pytest

from epp.simulator.replay.traces import line, written
from turnout.epp.simulator.replay import trace
from turnout.epp.simulator.replay.trace import TracedRequest, TraceError, read_trace
from turnout.epp.simulator.tokens import tokenize

GOOD = '{"timestamp": 0, "input_length": 513, "output_length": 1, "hash_ids": [0, 1]}\n'


def test_arrivals_count_from_the_first_request_and_are_sped_up(tmp_path: Path) -> None:
    file = written(tmp_path, [line(9000, [0, 2]), line(5000, [0], input_length=7, output_length=3)])
    assert read_trace(file, speed=4.0) == [
        TracedRequest(0.0, 7, 3, (0,)),
        TracedRequest(1.0, 1024, 4, (0, 2)),
    ]


def test_a_limit_takes_the_beginning_and_blank_lines_do_not_count(tmp_path: Path) -> None:
    file = tmp_path / "t"
    file.write_text(f"\n{GOOD}\n{GOOD}not read\n")
    assert len(read_trace(file, limit=2)) == 2


def test_equal_leading_ids_give_equal_leading_tokens() -> None:
    first = tokenize(TracedRequest(0.0, 1100, 1, (0, 7, 8)).prompt())
    second = tokenize(TracedRequest(0.0, 1536, 1, (0, 7, 9)).prompt())
    assert (len(first), len(second)) == (1100, 1536)
    assert first[:1024] == second[:1024]
    assert all(one != other for one, other in zip(first[1024:], second[1024:1100], strict=True))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param(f"{GOOD}nonsense\n", "t:2: JSON is malformed", id="not JSON"),
        pytest.param(f"{GOOD}{{}}\n", "t:2: Object missing required field `timestamp`", id="a field is missing"),
        pytest.param(GOOD.replace("513", "0"), "t:1: Expected `int` >= 1", id="an empty prompt"),
        pytest.param(GOOD.replace("513", "1048577"), "t:1: Expected `int` <= 1048576", id="a prompt too long"),
        pytest.param(GOOD.replace("513", "1025"), "t:1: input_length 1025 needs 3 hash_ids", id="ids are missing"),
        pytest.param(GOOD.replace("[0, 1]", "[-1, 1]"), "t:1: Expected `int` >= 0", id="a negative id"),
        pytest.param('{"timestamp": NaN}\n', "t:1: JSON is malformed", id="not a number"),
        pytest.param("[" * 100_000, "t:1: ", id="deep nesting"),
        pytest.param(" " * 1_048_577 + GOOD, "t:1: the line is longer than 1048576 bytes", id="a long line"),
        pytest.param("\n", "t: holds no request", id="an empty file"),
    ],
)
def test_a_bad_line_is_named_with_its_file(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "t"
    file.write_text(text)
    with pytest.raises(TraceError) as refused:
        read_trace(file)
    assert complaint in str(refused.value)


def test_a_trace_with_too_many_requests_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "MAX_REQUESTS", 2)
    file = written(tmp_path, [line(0, [0])] * 3)
    with pytest.raises(TraceError, match="holds more than 2 requests"):
        read_trace(file)
    assert len(read_trace(file, limit=2)) == 2


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="absent: cannot be read: No such file"):
        read_trace(tmp_path / "absent")
