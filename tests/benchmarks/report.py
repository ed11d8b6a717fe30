"""The figures as a table for people and as JSON for programs."""

import os
import platform
from collections.abc import Mapping, Sequence

from rich.table import Table

from .figures import Figure, Unit, Value

_VERDICTS = {True: "[green]yes[/]", False: "[red]no[/]", None: ""}


def table(figures: Sequence[Figure]) -> Table:
    """What, measured (with the noise of its repetitions), baseline, ratio, budget, within."""
    shown = Table(title="Turnout's budgets (medians over repetitions; ± is half their range)")
    shown.add_column("case", style="bold")
    shown.add_column("what")
    for title in ("measured", "baseline", "ratio", "budget"):
        shown.add_column(title, justify="right")
    shown.add_column("against")
    shown.add_column("within", justify="center")
    previous = ""
    for figure in figures:
        if previous and figure.case != previous:
            shown.add_section()
        shown.add_row("" if figure.case == previous else figure.case, *_cells(figure))
        previous = figure.case
    return shown


def as_json(figures: Sequence[Figure], seconds: float, *, quick: bool) -> Mapping[str, object]:
    """Everything in base units: seconds, bytes, cores, requests per second."""
    machine = {
        "cpus": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "python": platform.python_version(),
        "system": platform.platform(),
    }
    return {"machine": machine, "quick": quick, "seconds": round(seconds, 1), "figures": [_entry(f) for f in figures]}


def _entry(figure: Figure) -> Mapping[str, object]:
    baseline = figure.baseline
    return {
        "case": figure.case,
        "what": figure.what,
        "unit": figure.unit,
        "measured": figure.measured.median,
        "noise": figure.measured.noise,
        "baseline": baseline.median if baseline else None,
        "baseline_noise": baseline.noise if baseline else None,
        "compared_to": figure.compared_to or None,
        "added": figure.added,
        "ratio": figure.ratio,
        "budget": figure.budget,
        "judged": figure.judged,
        "within": figure.within,
    }


def _cells(figure: Figure) -> tuple[str, ...]:
    baseline = _value(figure.baseline, figure.unit) if figure.baseline else ""
    ratio = "" if figure.ratio is None else f"{figure.ratio:.3g}"
    measured = _value(figure.measured, figure.unit)
    if figure.judged == "added" and figure.added is not None:
        measured = f"+{_number(figure.added, figure.unit)}  ({measured})"
    return (figure.what, measured, baseline, ratio, _budget(figure), figure.compared_to, _VERDICTS[figure.within])


def _budget(figure: Figure) -> str:
    if figure.budget is None:
        return ""
    return _number(figure.budget, figure.unit)


def _value(value: Value, unit: Unit) -> str:
    return f"{_number(value.median, unit)} ±{value.noise:.0%}" if value.noise else _number(value.median, unit)


def _number(value: float, unit: Unit) -> str:
    match unit:
        case "s" if abs(value) < 1e-3:
            return f"{value * 1e6:.3g} us"
        case "s":
            return f"{value * 1e3:.3g} ms"
        case "bytes" if value >= 10_000:
            return f"{value / 1000:.3g} kB"
        case "bytes":
            return f"{value:.0f} bytes"
        case "cores":
            return f"{value:.3f} cores"
        case "requests/s":
            return f"{value:,.0f} {unit}"
        case "x":
            return f"{value:.3g} x"
