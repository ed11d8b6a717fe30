"""The figures of a replay, as a table and as JSON."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from turnout.epp.demo.report import percentile
from turnout.epp.simulator.replay.ceiling import Ceiling, Try
from turnout.epp.simulator.replay.run import Outcome


@dataclass(frozen=True, slots=True)
class ArmReport:
    """One router's figures; times in seconds.

    ``hit_rate`` is cached / prompt tokens as the engines count them. Latencies are those of requests that were
    answered, without those in ``refused``, and None where there are none. ``endpoint_variation`` is the standard
    deviation of the requests per endpoint over their mean.
    """

    requests: int
    refused: int
    refusals: Mapping[str, int]
    plugin_failures: int
    hit_rate: float
    ttft_p50_s: float | None
    ttft_p90_s: float | None
    ttft_p99_s: float | None
    e2e_p50_s: float | None
    e2e_p99_s: float | None
    requests_per_endpoint: Sequence[int]
    endpoint_variation: float
    virtual_s: float
    wall_s: float

    def as_dict(self) -> dict[str, object]:
        """The report as it stands in JSON."""
        return asdict(self)


def summarise(outcome: Outcome) -> ArmReport:
    """The figures of one replay."""
    served = outcome.per_endpoint
    refused = outcome.refused.total()
    return ArmReport(
        requests=sum(served) + refused,
        refused=refused,
        refusals=dict(outcome.refused),
        plugin_failures=outcome.plugin_failures,
        hit_rate=round(outcome.cached_tokens / outcome.prompt_tokens, 4) if outcome.prompt_tokens else 0.0,
        ttft_p50_s=_seconds(outcome.ttfts, 0.5),
        ttft_p90_s=_seconds(outcome.ttfts, 0.9),
        ttft_p99_s=_seconds(outcome.ttfts, 0.99),
        e2e_p50_s=_seconds(outcome.durations, 0.5),
        e2e_p99_s=_seconds(outcome.durations, 0.99),
        requests_per_endpoint=served,
        endpoint_variation=round(statistics.pstdev(served) / statistics.fmean(served), 3) if sum(served) else 0.0,
        virtual_s=round(outcome.virtual_seconds, 1),
        wall_s=round(outcome.wall_seconds, 1),
    )


def _seconds(values: Sequence[float], share: float) -> float | None:
    return round(percentile(values, share), 3) if values else None


MOST_NAME_WIDTH = 24

_COLUMNS = ("refused", "hit\nrate", "first\np50/p90/p99", "last\np50/p99", "per\nendpoint", "virtual/\nwall s")


def comparison(arms: Mapping[str, ArmReport]) -> Table:
    """One row a router; latencies in virtual seconds, and the fewest and most requests that an endpoint got."""
    requests = max(arm.requests for arm in arms.values())
    title = f"Replay of {requests:,} requests: token hit rate, seconds to the first and the last token"
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 0, 0, 1))
    table.add_column("router", min_width=min(MOST_NAME_WIDTH, max(map(len, arms))))
    for name in _COLUMNS:
        table.add_column(name, justify="right", no_wrap=True)
    for name, arm in arms.items():
        served = arm.requests_per_endpoint
        table.add_row(
            escape(name),
            f"{arm.refused:,}",
            f"{arm.hit_rate:.1%}",
            _shown(arm.ttft_p50_s, arm.ttft_p90_s, arm.ttft_p99_s),
            _shown(arm.e2e_p50_s, arm.e2e_p99_s),
            f"{min(served):,}-{max(served):,}",
            f"{arm.virtual_s:.0f}/{arm.wall_s:.0f}",
        )
    return table


def _shown(*seconds: float | None) -> str:
    return "/".join("none" if value is None else _three_digits(value) for value in seconds)


def _three_digits(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def ceiling_lines(ceiling: Ceiling) -> list[str]:
    """What the table's hit rates can be compared with."""
    return [
        f"Best assignment found: {_described(ceiling.best)}",
        f"Best balanced assignment found: {_described(ceiling.best_balanced)}",
        f"Best that knows no request before it comes: {_described(ceiling.best_without_foresight)}",
        f"One cache of the pool's capacity: {ceiling.one_cache:.1%}; without a limit: {ceiling.infinite:.1%}",
    ]


def _described(tried: Try | None) -> str:
    if tried is None:
        return "none"
    return f"{tried.hit_rate:.1%} ({tried.name}; the busiest server computes {tried.busiest:.1f}x the mean)"


def ceiling_as_dict(ceiling: Ceiling) -> dict[str, object]:
    """The ceiling as it stands in JSON: every try by its name, and the bounds."""
    return {
        "best": ceiling.best.name,
        "best_balanced": ceiling.best_balanced.name if ceiling.best_balanced else None,
        "best_without_foresight": ceiling.best_without_foresight.name,
        "tries": {
            tried.name: {"hit_rate": round(tried.hit_rate, 4), "busiest": round(tried.busiest, 2)}
            for tried in ceiling.tries
        },
        "one_cache": round(ceiling.one_cache, 4),
        "infinite": round(ceiling.infinite, 4),
    }
