import json
import re

import msgspec
import pytest

from plugins.topology.islands import busy, islands
from turnout.plugins.topology.document import encoded
from turnout.plugins.topology.machine_documents import MAX_MACHINES, read_machine, read_machines

ONE, TWO = encoded(islands("n1")), encoded(islands("n2"))


def test_a_machine_is_recognised_in_its_next_reading() -> None:
    before = read_machine(ONE)
    again = read_machine(encoded(busy(islands("n1"), 1.0, 0.0, 0.0, 0.0)), before)
    assert again.machine != before.machine
    assert again.described is before.described
    assert read_machine(encoded(islands("n1", lost=True)), before).described is not before.described


def test_documents_of_several_machines_stand_on_a_line_each() -> None:
    before = read_machines(ONE + b"\n\n" + TWO + b"\n")
    assert set(before) == {"n1", "n2"}
    after = read_machines(encoded(islands("n1", lost=True)) + b"\n" + TWO, before)
    assert after["n2"].described is before["n2"].described
    assert after["n1"].described is not before["n1"].described


def test_a_single_document_may_be_written_for_people() -> None:
    assert set(read_machines(json.dumps(json.loads(ONE), indent=2).encode())) == {"n1"}


def test_a_file_may_be_empty() -> None:
    assert read_machines(b"\n") == {}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(ONE + b"\n" + ONE, "line 2: machine 'n1' is there twice", id="twice"),
        pytest.param(ONE + b"\n{", "line 2: no topology document", id="a line that is cut off"),
        pytest.param(b"{", "no topology document", id="nothing but the beginning"),
        pytest.param(b"{}\n" * (MAX_MACHINES + 1), "it has 4097 lines, more than 4096 machines", id="too many"),
    ],
)
def test_documents_that_cannot_be_read_are_refused(content: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=re.escape(problem)):
        read_machines(content)


@pytest.mark.parametrize(
    ("text", "unix"),
    [
        pytest.param("2026-01-01T00:00:00+00:00", 1_767_225_600.0, id="with a zone"),
        pytest.param("2026-01-01T00:00:00", 1_767_225_600.0, id="without one: UTC"),
        pytest.param("yesterday", None, id="a word"),
        pytest.param("", None, id="nothing"),
    ],
)
def test_when_a_machine_was_read_is_known_if_it_is_a_date(text: str, unix: float | None) -> None:
    assert read_machine(encoded(msgspec.structs.replace(islands(), read_at=text))).read_at == unix
