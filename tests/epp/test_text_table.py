from turnout.epp.text_table import aligned


def test_words_begin_at_the_left_and_figures_end_at_the_right() -> None:
    lines = aligned(("name", "count", "note"), [("a", "1", ""), ("longer", "1,000,000", "late")], ("name", "note"))
    assert [line.plain for line in lines] == [
        "  name        count  note",
        "  a               1",
        "  longer  1,000,000  late",
    ]


def test_a_table_without_rows_is_its_head() -> None:
    assert [line.plain for line in aligned(("name", "count"), [], ("name",))] == ["  name  count"]


def test_cells_are_short_and_printable_and_never_markup() -> None:
    head, row = aligned(("name",), [("[red]" + "x" * 1000 + "\x1b",)], ("name",))
    assert row.plain == "  [red]" + "x" * 251
    assert head.plain == "  name"
