"""The figures of a run, and the table that compares several."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from rich.table import Table
from rich.text import Text

from turnout.epp.demo.measurements import Measurements
from turnout.epp.simulator.replay.ceiling import Ceiling


@dataclass(frozen=True, slots=True)
class RunReport:
    """One gateway's figures. ``prefix_hit_rate`` is hits / queries in tokens, as the servers count them."""

    requests: int
    errors: int
    ttft_p50_ms: float
    ttft_p90_ms: float
    ttft_p99_ms: float
    output_tokens_per_s: float
    prefix_hit_rate: float
    requests_per_endpoint: Mapping[str, int]

    def as_dict(self) -> dict[str, object]:
        """The report as it stands in the JSON file."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ServerCounts:
    """What one server's metrics page says at the end of a run."""

    requests: int
    prefix_queries: float
    prefix_hits: float


def summarise(seen: Measurements, servers: Mapping[str, ServerCounts]) -> RunReport:
    """Joins what the clients saw with what the servers counted."""
    queries = sum(server.prefix_queries for server in servers.values())
    hits = sum(server.prefix_hits for server in servers.values())
    p50, p90, p99 = (percentile(seen.ttfts, share) * 1000 for share in (0.5, 0.9, 0.99))
    return RunReport(
        requests=seen.requests,
        errors=seen.errors.total(),
        ttft_p50_ms=round(p50, 1),
        ttft_p90_ms=round(p90, 1),
        ttft_p99_ms=round(p99, 1),
        output_tokens_per_s=round(seen.output_tokens / seen.seconds, 1),
        prefix_hit_rate=round(hits / queries, 4) if queries else 0.0,
        requests_per_endpoint={name: server.requests for name, server in servers.items()},
    )


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which this share of the values lies, interpolated; NaN without values."""
    if not values:
        return float("nan")
    if len(values) == 1:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[round(share * 100) - 1]


_ROWS: tuple[tuple[str, str, str, bool | None], ...] = (
    # title, field, format, whether less is better (None: neither)
    ("requests", "requests", "{:,}", None),
    ("errors", "errors", "{:,}", True),
    ("TTFT p50", "ttft_p50_ms", "{:,.0f} ms", True),
    ("TTFT p90", "ttft_p90_ms", "{:,.0f} ms", True),
    ("TTFT p99", "ttft_p99_ms", "{:,.0f} ms", True),
    ("output tokens/s", "output_tokens_per_s", "{:,.0f}", False),
    ("prefix-cache hit rate", "prefix_hit_rate", "{:.1%}", False),
)


def comparison(runs: Mapping[str, RunReport], ceiling: Ceiling) -> Table:
    """One column a run, the best figure of each row in bold; below it the best hit rate of balanced assignments."""
    table = Table(
        title="Envoy's round robin and least request against Turnout",
        title_justify="left",
        caption=_best_balanced(ceiling),
        caption_justify="left",
        caption_style="",
    )
    table.add_column("")
    for name in runs:
        table.add_column(name, justify="right")
    for title, figure, form, less_is_better in _ROWS:
        values = [getattr(report, figure) for report in runs.values()]
        table.add_row(title, *_emphasised(values, form, less_is_better))
    counts = [" ".join(str(n) for n in report.requests_per_endpoint.values()) for report in runs.values()]
    table.add_row("requests per endpoint", *counts)
    return table


def _best_balanced(ceiling: Ceiling) -> Text:
    found = ceiling.best_balanced
    # Rounded like a run's, so that equal rates look equal.
    figure = f"{round(found.hit_rate, 4):.1%} ({found.name})" if found is not None else "none"
    return Text(f"Best hit rate of balanced assignments to the same caches, found without time:\n{figure}")


def _emphasised(values: Sequence[float], form: str, less_is_better: bool | None) -> list[str]:
    texts = [form.format(value) for value in values]
    if less_is_better is None or len(set(values)) == 1:
        return texts
    best = min(values) if less_is_better else max(values)
    return [f"[bold]{text}[/bold]" if value == best else text for text, value in zip(texts, values, strict=True)]
