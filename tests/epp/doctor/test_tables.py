import io
from collections.abc import Mapping

from rich.console import Console

from epp.doctor import pickers
from turnout.epp.doctor.examination import Examination, ExaminedEndpoint, ExaminedProducer
from turnout.epp.doctor.pages import FoundByPlugin
from turnout.epp.doctor.tables import render_examination
from turnout.framework import Figure

FIGURES: Mapping[str, Figure] = {**pickers.FIGURES, "stream": "lost"}


def shown(examination: Examination) -> list[str]:
    written = io.StringIO()
    Console(file=written, width=60, soft_wrap=True).print(render_examination(examination))
    return [line.rstrip() for line in written.getvalue().splitlines()]


def producer(*findings: FoundByPlugin, remarks: tuple[str, ...] = (), name: str = "mine") -> ExaminedProducer:
    endpoints = [ExaminedEndpoint("default/a", FIGURES, ""), ExaminedEndpoint("default/bcd", {}, "idle")]
    return ExaminedProducer(name, "precise-prefix-cache-producer", endpoints, findings, remarks)


def test_a_table_has_a_line_for_each_endpoint_however_narrow_the_terminal() -> None:
    assert shown(Examination([producer()])) == [
        "mine (precise-prefix-cache-producer)",
        "  endpoint     requests     predicted  reported / predicted     agree  engine hits  stream  blocks  note",
        "  default/a          40  52,000 (81%)       25,500 / 26,000  19 of 20          75%    lost   1,234",
        "  default/bcd         -             -                     -         -            -       -       -  idle",
        "",
        "Nothing found.",
    ]


def test_findings_and_remarks_stand_below_their_producer() -> None:
    found = Examination(
        [producer(FoundByPlugin("c", "Do it.", "default/a"), FoundByPlugin("d", "All."), remarks=("R",))]
    )
    assert shown(found)[-6:] == ["c at default/a: Do it.", "", "d at all endpoints: All.", "", "note: R", ""]


def test_findings_of_the_picker_come_first() -> None:
    assert shown(Examination((), [FoundByPlugin("no-prefix-producer", "None.")])) == [
        "no-prefix-producer at all endpoints: None.",
        "",
    ]


def test_a_producer_named_by_its_type_is_named_once() -> None:
    assert shown(Examination([producer(name="precise-prefix-cache-producer")]))[0] == "precise-prefix-cache-producer"


def test_what_would_move_a_terminal_s_cursor_is_replaced() -> None:
    lines = shown(Examination([producer(FoundByPlugin("c\x1b[2J", "m\x1b[2J", "e\x1b[2J"))]))
    assert not any("\x1b" in line for line in lines)
