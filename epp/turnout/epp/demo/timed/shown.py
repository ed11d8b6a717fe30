"""What the reports of all timed scenarios show alike."""

import math
from collections.abc import Mapping, Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table

# On an idle machine with two cores it is 2 to 5 ms. Whatever delays the client delays Envoy and the picker alike, so
# that beyond this a visible part of a first token's time is the machine's.
MOST_LATE_SECONDS = 0.01


def runs_table(title: str, columns: Sequence[str]) -> Table:
    """A table without rows: names of runs at the left, then these columns of figures. Close, to fit into 80 columns."""
    shown = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=0, collapse_padding=True, pad_edge=False)
    shown.add_column("", no_wrap=True)
    for column in columns:
        shown.add_column(column, justify="right", no_wrap=True)
    return shown


def milliseconds(seconds: float) -> str:
    """Seconds as whole milliseconds; nothing for what was not measured (NaN)."""
    return "" if math.isnan(seconds) else f"{seconds * 1000:,.0f}"


def late_clients(late: Mapping[str, float]) -> Sequence[str]:
    """A sentence for each run whose client was too late to send, by the seconds that it was at the 99th percentile."""
    return [
        f"The client of {name} was {milliseconds(seconds)} ms late to send: the machine is busy, times are too long."
        for name, seconds in late.items()
        if seconds > MOST_LATE_SECONDS
    ]
