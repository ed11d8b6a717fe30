"""An examination as a person reads it in a terminal."""

from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from turnout.epp.doctor.examination import Examination, ExaminedEndpoint, ExaminedProducer
from turnout.epp.doctor.pages import FoundByPlugin
from turnout.epp.observe.labels import printable
from turnout.epp.text_table import aligned
from turnout.framework import Figure

# What a producer from events says of its stream, in this order; shown where some endpoint has it.
STATES = ("stream", "events", "blocks")

MAX_MESSAGE = 2_000


def render_examination(examination: Examination) -> RenderableType:
    """For each producer a table of its endpoints, and below it its findings and remarks."""
    # Text and not markup: names may contain brackets.
    parts: list[RenderableType] = [_finding(finding) for finding in examination.findings]
    for producer in examination.producers:
        parts += _producer(producer)
    if not examination.count:
        parts.append(Text("Nothing found.", style="green"))
    return Group(*parts)


def _producer(producer: ExaminedProducer) -> list[RenderableType]:
    title = producer.name if producer.name == producer.type else f"{producer.name} ({producer.type or 'unknown type'})"
    parts: list[RenderableType] = [Text(printable(title), style="bold"), *_table(producer.endpoints)]
    parts += [_finding(finding) for finding in producer.findings]
    parts += [Text(f"note: {remark}\n") for remark in producer.remarks]
    return parts


def _finding(finding: FoundByPlugin) -> Text:
    where = printable(finding.endpoint) or "all endpoints"
    return Text.assemble(
        (printable(finding.cause), "bold red"), f" at {where}: {printable(finding.message, MAX_MESSAGE)}\n"
    )


def _table(endpoints: Sequence[ExaminedEndpoint]) -> list[Text]:
    states = [name for name in STATES if any(endpoint.figures.get(name) is not None for endpoint in endpoints)]
    head = ["endpoint", "requests", "predicted", "reported / predicted", "agree", "engine hits", *states, "note"]
    return [*aligned(head, [_cells(endpoint, states) for endpoint in endpoints], ("endpoint", "note")), Text()]


def _cells(endpoint: ExaminedEndpoint, states: Sequence[str]) -> list[str]:
    figures = endpoint.figures
    compared = figures.get("compared_requests")
    predicted = f"{_number(figures, 'predicted_cached_tokens')}{_rate(figures, 'predicted_hit_rate')}"
    reported = f"{_number(figures, 'reported_cached_tokens')} / {_number(figures, 'compared_predicted_tokens')}"
    return [
        endpoint.name,
        _number(figures, "requests"),
        predicted,
        reported if compared else "-",
        f"{_number(figures, 'agreeing_requests')} of {_number(figures, 'compared_requests')}" if compared else "-",
        _rate(figures, "engine_hit_rate").strip(" ()") or "-",
        *(_number(figures, name) for name in states),
        endpoint.note,
    ]


def _number(figures: Mapping[str, Figure], name: str) -> str:
    value = figures.get(name)
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _rate(figures: Mapping[str, Figure], name: str) -> str:
    value = figures.get(name)
    return f" ({value:.0%})" if isinstance(value, int | float) else ""
