from collections import Counter

from rich.console import Console

from turnout.epp.simulator.replay.ceiling import Ceiling, Try
from turnout.epp.simulator.replay.report import ArmReport, ceiling_as_dict, ceiling_lines, comparison, summarise
from turnout.epp.simulator.replay.run import Outcome

OUTCOME = Outcome(
    ttfts=[0.1, 0.2, 0.3],
    durations=[1.0, 2.0, 3.0],
    refused=Counter({"too much": 2}),
    per_endpoint=[3, 0],
    prompt_tokens=300,
    cached_tokens=100,
    plugin_failures=1,
    virtual_seconds=12.34,
    wall_seconds=0.56,
)
NOTHING = Outcome(refused=Counter({"too much": 1}), per_endpoint=[0, 0])
CEILING = Ceiling(
    (
        Try("seer", 0.25, 3.0, True, []),
        Try("packer", 0.2, 1.25, True, []),
        Try("greedy", 0.125, 1.5, False, []),
        Try("hash", 0.1, 1.0, False, []),
    ),
    0.13,
    0.5,
)


def test_the_figures_are_those_of_the_requests_that_were_answered() -> None:
    assert summarise(OUTCOME) == ArmReport(
        requests=5,
        refused=2,
        refusals={"too much": 2},
        plugin_failures=1,
        hit_rate=0.3333,
        ttft_p50_s=0.2,
        ttft_p90_s=0.28,
        ttft_p99_s=0.298,
        e2e_p50_s=2.0,
        e2e_p99_s=2.98,
        requests_per_endpoint=[3, 0],
        endpoint_variation=1.0,
        virtual_s=12.3,
        wall_s=0.6,
    )


def test_where_everything_is_refused_there_is_no_latency() -> None:
    report = summarise(NOTHING)
    assert (report.requests, report.refused, report.hit_rate) == (1, 1, 0.0)
    assert report.ttft_p99_s is None
    assert report.endpoint_variation == 0.0


def test_the_table_has_a_row_for_each_router() -> None:
    console = Console(width=130, record=True)
    console.print(comparison({"mine[1]": summarise(OUTCOME), "none": summarise(NOTHING)}))
    rows = [" ".join(line.split()) for line in console.export_text().splitlines()]
    assert rows[-3:-1] == [
        "mine[1] 2 33.3% 0.20/0.28/0.30 2.00/2.98 0-3 12/1",
        "none 1 0.0% none/none/none none/none 0-0 0/0",
    ]


def test_the_ceiling_is_shown_with_the_names_of_its_tries() -> None:
    assert ceiling_lines(CEILING) == [
        "Best assignment found: 25.0% (seer; the busiest server computes 3.0x the mean)",
        "Best balanced assignment found: 20.0% (packer; the busiest server computes 1.2x the mean)",
        "Best that knows no request before it comes: 12.5% (greedy; the busiest server computes 1.5x the mean)",
        "One cache of the pool's capacity: 13.0%; without a limit: 50.0%",
    ]
    assert ceiling_as_dict(CEILING) == {
        "best": "seer",
        "best_balanced": "packer",
        "best_without_foresight": "greedy",
        "tries": {
            "seer": {"hit_rate": 0.25, "busiest": 3.0},
            "packer": {"hit_rate": 0.2, "busiest": 1.25},
            "greedy": {"hit_rate": 0.125, "busiest": 1.5},
            "hash": {"hit_rate": 0.1, "busiest": 1.0},
        },
        "one_cache": 0.13,
        "infinite": 0.5,
    }
