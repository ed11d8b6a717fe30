"""`turnout replay`: routing configurations compared on a recorded trace."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from turnout.config import ConfigError, Pipeline
from turnout.epp.cli.go_flags import comma_list
from turnout.epp.cli.parameters import seconds
from turnout.epp.cli.screen import EXIT_USAGE, errors_as_messages, fail, print_json, stderr, stdout
from turnout.epp.simulator.engine import EngineConfig
from turnout.epp.simulator.replay.assignments import Pool
from turnout.epp.simulator.replay.cache_only import cached_prompts
from turnout.epp.simulator.replay.ceiling import Ceiling, find_ceiling
from turnout.epp.simulator.replay.report import ArmReport, ceiling_as_dict, ceiling_lines, comparison, summarise
from turnout.epp.simulator.replay.routers import RULES, RouterFactory, assigned_router, director_router, rule_router
from turnout.epp.simulator.replay.run import ReplayOptions
from turnout.epp.simulator.replay.run import replay as replay_requests
from turnout.epp.simulator.replay.trace import TracedRequest, TraceError, read_trace

MAX_CHANGES = 1_000_000
INTERRUPTED = 130

_ENGINE = EngineConfig()
_DEFAULTS = ReplayOptions()


def replay(
    *,
    trace: Annotated[Path, typer.Option(help="Trace in Mooncake's JSONL format.", show_default=False)],
    config: Annotated[
        list[str] | None, typer.Option(help="NAME=FILE of a configuration to compare. Repeat it.")
    ] = None,
    router: Annotated[
        list[str] | None, typer.Option(help="round-robin, least-request or random; repeat or separate by commas.")
    ] = None,
    endpoints: Annotated[int, typer.Option(help="Simulated servers.")] = _DEFAULTS.endpoints,
    speed: Annotated[float, typer.Option(help="How many times faster than recorded the requests come.")] = 1.0,
    requests: Annotated[int | None, typer.Option(help="Only so many requests of the trace, from its start.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of random choices, and of plugins that have none.")] = _DEFAULTS.seed,
    scrape_interval: Annotated[
        float, typer.Option(parser=seconds, metavar="DURATION", help="How often a server's metrics are read.")
    ] = "50ms",  # type: ignore[assignment]  # typer reads defaults as it reads arguments
    block_size: Annotated[int, typer.Option(help="Tokens per KV-cache block.")] = _ENGINE.block_size,
    num_blocks: Annotated[int, typer.Option(help="Blocks in the KV cache of one server.")] = _ENGINE.num_blocks,
    read_responses: Annotated[bool, typer.Option(help="Show plugins response bodies, whether asked or not.")] = False,
    ceiling: Annotated[bool, typer.Option(help="Look for the best assignment of requests to servers.")] = True,
    replay_ceiling: Annotated[bool, typer.Option(help="Replay the best assignments, too, beside the routers.")] = False,
    changes: Annotated[int, typer.Option(help="How many changes of the best assignment to try.")] = 300,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document, for machines.")] = False,
) -> None:
    """Compare routing configurations on a recorded trace, without servers and without waiting.

    The requests go through the Endpoint Picker's own director and plugins to simulated vLLM replicas
    (Llama-3.1-8B on one H100) on virtual time; equal seeds give equal figures. Routers that proxies come with
    stand beside: least-request is Envoy's, over all endpoints. Below the table stands what token hit rate
    assignments of the requests to the same caches can reach.

    Example: turnout replay --trace trace.jsonl --endpoints 8 --speed 3 --router least-request --config mine=epp.yaml
    """
    with errors_as_messages(TraceError, ConfigError, ValueError, status=EXIT_USAGE):
        traced = _read(trace, speed, requests)
        longest = max(request.input_tokens + request.output_tokens for request in traced)
        engine = EngineConfig(block_size=block_size, num_blocks=num_blocks, max_model_len=longest)
        options = ReplayOptions(endpoints, engine, scrape_interval, seed)
        arms = _arms(config or (), comma_list(router or ()), seed, reads_responses=read_responses)
    if not 0 <= changes <= MAX_CHANGES:
        fail(f"--changes must be from 0 to {MAX_CHANGES}, not {changes}", EXIT_USAGE)
    try:
        found = _find_ceiling(traced, options, changes) if ceiling or replay_ceiling else None
        reports = _replay_all(traced, options, {**arms, **_assignments(found if replay_ceiling else None)})
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    _show(reports, found, as_json=as_json)


def _read(trace: Path, speed: float, requests: int | None) -> list[TracedRequest]:
    if not 0.0 < speed < float("inf"):
        fail(f"--speed must be above 0, not {speed:g}", EXIT_USAGE)
    if requests is not None and requests < 1:
        fail(f"--requests must be at least 1, not {requests}", EXIT_USAGE)
    return read_trace(trace, speed=speed, limit=requests)


def _arms(
    configs: Sequence[str], rules: Sequence[str], seed: int, *, reads_responses: bool
) -> Mapping[str, RouterFactory]:
    arms: dict[str, RouterFactory] = {}
    for rule in rules:
        if rule not in RULES:
            fail(f"--router {rule!r}: expected {', '.join(RULES)}", EXIT_USAGE)
        arms[rule] = rule_router(rule, seed)
    for text in configs:
        name, equals, file = text.partition("=")
        if not name or not equals or not file:
            fail(f"--config {text!r}: expected NAME=FILE", EXIT_USAGE)
        if name in arms:
            fail(f"--config {text!r}: the name {name!r} is taken", EXIT_USAGE)
        arms[name], pipeline = director_router(Path(file), seed, reads_responses=reads_responses)
        _warn(name, pipeline)
    if not arms:
        fail("nothing to compare: give --config NAME=FILE, --router NAME, or several of them", EXIT_USAGE)
    return arms


def _warn(name: str, pipeline: Pipeline) -> None:
    for warning in pipeline.warnings:
        stderr.print(f"warning: {name}: {warning}", style="yellow", markup=False)
    if pipeline.runnables:
        idle = ", ".join(named.name for named in pipeline.runnables)
        stderr.print(f"warning: {name}: without effect in a replay: I/O of {idle}", style="yellow", markup=False)


def _progress() -> Progress:
    columns = (TextColumn("{task.description:<16}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=stderr)


def _replay_all(
    traced: Sequence[TracedRequest], options: ReplayOptions, arms: Mapping[str, RouterFactory]
) -> Mapping[str, ArmReport]:
    reports: dict[str, ArmReport] = {}
    with _progress() as progress:
        for name, make_router in arms.items():
            task = progress.add_task(escape(name), total=len(traced))
            outcome = replay_requests(traced, options, make_router, partial(progress.advance, task))
            reports[name] = summarise(outcome)
    return reports


def _find_ceiling(traced: Sequence[TracedRequest], options: ReplayOptions, changes: int) -> Ceiling:
    pool = Pool(options.endpoints, options.engine.num_blocks * options.engine.block_size, options.seed)
    with _progress() as progress:
        task = progress.add_task("ceiling", total=None)
        prompts = cached_prompts(traced, options.engine.block_size)
        return find_ceiling(prompts, pool, changes, partial(progress.advance, task))


def _assignments(ceiling: Ceiling | None) -> Mapping[str, RouterFactory]:
    if ceiling is None:
        return {}
    best = {
        "best assignment": ceiling.best,
        "best balanced": ceiling.best_balanced,
        "best of no foresight": ceiling.best_without_foresight,
    }
    return {name: assigned_router(tried.assignment) for name, tried in best.items() if tried is not None}


def _show(reports: Mapping[str, ArmReport], ceiling: Ceiling | None, *, as_json: bool) -> None:
    for name, report in reports.items():
        if report.plugin_failures:
            stderr.print(f"{name}: {report.plugin_failures} calls of plugins failed", style="red", markup=False)
        for message, count in report.refusals.items():
            stderr.print(f"{name}: {count} requests refused: {message}", style="red", markup=False)
    if as_json:
        found = {} if ceiling is None else {"ceiling": ceiling_as_dict(ceiling)}
        print_json({"arms": {name: report.as_dict() for name, report in reports.items()}, **found})
        return
    stdout.print(comparison(reports))
    for line in [] if ceiling is None else ceiling_lines(ceiling):
        stdout.print(line, markup=False)
