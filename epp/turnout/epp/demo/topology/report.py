"""The table of the scenario, what stands below it, and the JSON file."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType

from rich.table import Table

from turnout.epp.demo.timed.goals import Goal
from turnout.epp.demo.timed.shown import late_clients, milliseconds, runs_table
from turnout.epp.demo.topology.arms import AWARE, BLIND, SHARE, TIME_SCALE, Load
from turnout.epp.demo.topology.figures import RunFigures, goals, p90_gain
from turnout.epp.demo.topology.machines import LINKS, MACHINES, POOL, Way
from turnout.epp.demo.topology.workload import GROUPS, SHARED_TOKENS

_HEADS: Mapping[Way, str] = MappingProxyType(
    {"NVLink": "over\nNVLink", "same node": "same\nnode", "network": "net-\nwork"}
)


@dataclass(frozen=True, slots=True)
class Report:
    """All runs of one load."""

    load: Load
    runs: Mapping[str, RunFigures]

    @property
    def goals(self) -> Sequence[Goal]:
        """What has to be reached."""
        return goals(self.runs)


def table(report: Report) -> Table:
    """One line for each run: how long KV cache took, over what it came, and first tokens. 80 columns."""
    title = "The same requests by several ways to choose who prefills and who decodes"
    columns = ("KV ms a\nrequest", "KV\np90 ms", *(_HEADS[way] for way in LINKS))
    ttfts = (f"TTFT\np{percent} ms" for percent in (50, 90, 99))
    shown = runs_table(title, (*columns, *ttfts, "not\nserved"))
    for name, run in report.runs.items():
        transfers = run.transfers
        shares = (f"{transfers.by_way.get(way, 0) / max(1, transfers.count):.0%}" for way in LINKS)
        times = (milliseconds(run.ttft(share)) for share in (0.5, 0.9, 0.99))
        moved = (f"[bold]{run.transfer_seconds * 1000:.1f}[/bold]", milliseconds(transfers.p90_seconds))
        shown.add_row(name, *moved, *shares, *times, f"{run.refused + run.failed:,}")
    return shown


def notes(report: Report) -> Sequence[str]:
    """What the table means."""
    load = report.load
    ways = ", ".join(f"{link.bytes_per_second / 1e9:g} GB/s ({way})" for way, link in LINKS.items())
    gain, low, high = (f"{seconds * 1000:,.0f} ms" for seconds in p90_gain(report.runs[BLIND], report.runs[AWARE]))
    speed = f"{len(POOL)} at 1/{TIME_SCALE:g} of the speed of an H100, transfers as well"
    share = f"{SHARE:.0%} of the prompts that the servers compute uncached"
    groups = f"{GROUPS} groups that share {SHARED_TOKENS} tokens"
    return (
        f"Servers: {speed}; on each of {MACHINES} machines two pairs of one that prefills and one that decodes.",
        f"KV cache comes with {ways}; transfers are as the engines report them.",
        f"Load: {load.rate:.1f} requests/s, {share}; {len(load.requests):,} requests of seed {load.seed}, in {groups}.",
        f"Topology-aware TTFT p90 is {gain} less than blind; in 95% of resampled sets of requests {low} to {high}.",
        "Times count from when a request was due to be sent.",
    )


def doubts(report: Report) -> Sequence[str]:
    """Signs that the machine was too busy for what was measured to be the gateway's."""
    return late_clients({name: run.late_p99 for name, run in report.runs.items()})


def as_dict(report: Report) -> Mapping[str, object]:
    """All figures, for the JSON file."""
    gain, low, high = p90_gain(report.runs[BLIND], report.runs[AWARE])
    return {
        "seed": report.load.seed,
        "capacity": report.load.capacity,
        "rate": report.load.rate,
        "time_scale": TIME_SCALE,
        "runs": {name: _run(run) for name, run in report.runs.items()},
        "ttft_p90_gain": {"seconds": gain, "low": low, "high": high},
        "goals": [asdict(goal) for goal in report.goals],
    }


def _run(run: RunFigures) -> Mapping[str, object]:
    return {
        **{key: value for key, value in asdict(run).items() if key != "ttfts"},
        "transfer_seconds_per_request": run.transfer_seconds,
        "ttft_p50": run.ttft(0.5),
        "ttft_p90": run.ttft(0.9),
        "ttft_p99": run.ttft(0.99),
    }
