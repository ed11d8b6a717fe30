"""Tables for terminals."""

from collections.abc import Collection, Iterable, Sequence

from rich.text import Text

from turnout.epp.observe.labels import printable


def aligned(head: Sequence[str], rows: Iterable[Sequence[str]], words: Collection[str]) -> list[Text]:
    """The lines of a table; columns with these titles begin at the left, others end at the right.

    Lines are as long as they must be: a table that is squeezed into a narrow terminal cannot be read.
    """
    # Text and not markup: cells may contain brackets.
    lines = [list(head), *([printable(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    to_left = [title in words for title in head]
    return [Text(f"  {_line(line, widths, to_left)}", style="dim" if line is lines[0] else "") for line in lines]


def _line(cells: Sequence[str], widths: Sequence[int], to_left: Sequence[bool]) -> str:
    placed = zip(cells, widths, to_left, strict=True)
    return "  ".join(cell.ljust(width) if left else cell.rjust(width) for cell, width, left in placed).rstrip()
