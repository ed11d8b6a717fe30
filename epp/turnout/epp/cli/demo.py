"""`turnout demo`: the same traffic through several gateways, compared."""

import asyncio
import contextlib
import json
from collections.abc import Coroutine, Mapping
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from turnout.epp.cli import demo_overload, demo_slo, demo_topology
from turnout.epp.cli.screen import EXIT_USAGE, errors_as_messages, fail, run_loop, stderr, stdout
from turnout.epp.demo.gateways import MODEL, Gateway
from turnout.epp.demo.report import comparison
from turnout.epp.demo.run import (
    GATEWAYS,
    DemoNotInstalledError,
    Run,
    best_assignments,
    gateway,
    measure,
)
from turnout.epp.demo.servers import ChildError
from turnout.epp.demo.workload import WorkloadOptions, generate
from turnout.epp.lifecycle import stop_signal
from turnout.epp.observe.report import render_decision
from turnout.epp.simulator.replay.ceiling import Ceiling
from turnout.epp.simulator.replay.report import ceiling_as_dict

MAX_SECONDS = 600.0


class Scenario(StrEnum):
    """What is compared."""

    CHAT = "chat"
    OVERLOAD = "overload"
    SLO = "slo"
    TOPOLOGY = "topology"


DURATIONS = {Scenario.CHAT: 18.0, Scenario.OVERLOAD: 26.0, Scenario.SLO: 26.0, Scenario.TOPOLOGY: 20.0}
INTERRUPTED = 130

T = TypeVar("T")


def demo(
    *,
    scenario: Annotated[Scenario, typer.Option(help="chat, overload, slo or topology.")] = Scenario.CHAT,
    duration: Annotated[
        float | None,
        typer.Option(help="Seconds in which requests begin, in each run; default 18 of chat, 20 of topology, else 26."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the traffic; all runs see the same.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave a gateway running and print a curl line; of chat.")
    ] = False,
) -> None:
    """Compare gateways on the same traffic, with Envoy, the Endpoint Picker and four simulated model servers.

    chat: Envoy's round robin, its least request and Turnout's default, on multi-turn chats with shared system prompts
    from the official openai client. Shows a table, the best prefix-cache hit rate that any assignment of the requests
    to the same caches reached in some tries, and why one of the requests went where it went.

    overload: 1.5 times the requests that the servers can serve, of five priority levels, without and with flow
    control. Shows a table by level, and ends with status 1 if flow control misses its goals: critical requests nearly
    as fast as alone, and an outcome within the stated bound for everybody.

    slo: requests with targets for their first token, at nine tenths of what servers of two speeds and prices can serve,
    by Envoy's least request, the default profile, slo-first and cost-first. Shows how many targets were met and what it
    cost, and ends with status 1 if slo-first does not meet most, or cost-first is not cheaper at nearly as many.

    topology: prefill and decode apart, on 16 servers of four machines with two NVLink pairs each, by picks at random,
    by load and caches, and by the topology as well. Shows how long KV cache took and over what it came, and ends with
    status 1 if the topology does not halve that time at a TTFT (90th percentile) that is no worse.
    """
    seconds = DURATIONS[scenario] if duration is None else duration
    if not 1.0 <= seconds <= MAX_SECONDS:
        fail(f"--duration must be from 1 to {MAX_SECONDS:g} seconds, not {seconds:g}", EXIT_USAGE)
    if keep and scenario is not Scenario.CHAT:
        fail("--keep is for the scenario chat", EXIT_USAGE)
    with errors_as_messages(ChildError, DemoNotInstalledError, OSError):
        if scenario is Scenario.OVERLOAD:
            report = run_loop(_until_interrupted(demo_overload.compare(seed, seconds)))
            passed = demo_overload.show(report, json_file)
        elif scenario is Scenario.SLO:
            passed = demo_slo.show(run_loop(_until_interrupted(demo_slo.compare(seed, seconds))), json_file)
        elif scenario is Scenario.TOPOLOGY:
            passed = demo_topology.show(run_loop(_until_interrupted(demo_topology.compare(seed, seconds))), json_file)
        else:
            passed = _chat(seed, seconds, json_file, keep=keep)
    if not passed:
        raise typer.Exit(1)


def _chat(seed: int, duration: float, json_file: Path | None, keep: bool) -> bool:
    ceiling, runs = run_loop(_until_interrupted(_compare(WorkloadOptions(seed=seed, duration=duration))))
    _show(runs, ceiling, json_file)
    if keep:
        run_loop(_keep(seed))
    return not any(run.report.errors for run in runs.values())


async def _compare(workload: WorkloadOptions) -> tuple[Ceiling, Mapping[str, Run]]:
    answers = sum(len(conversation.turns) for conversation in generate(workload))
    columns = (TextColumn("{task.description:<16}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    runs: dict[str, Run] = {}
    with Progress(*columns, console=stderr) as progress:
        # Before the servers run: it would take computing time from them.
        trying = progress.add_task("best assignment", total=None)
        ceiling = await best_assignments(workload, partial(progress.advance, trying))
        progress.update(trying, total=progress.tasks[trying].completed)
        for name, arguments in GATEWAYS.items():
            task = progress.add_task(name, total=answers)
            runs[name] = await measure(arguments, workload, partial(progress.advance, task))
    return ceiling, runs


async def _until_interrupted(main: Coroutine[None, None, T]) -> T:
    """The coroutine's result. SIGINT or SIGTERM cancels it, which stops every child, and exits with status 130."""
    stop = stop_signal()
    running = asyncio.ensure_future(main)
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            return running.result()
    finally:
        stopping.cancel()
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await running
    raise typer.Exit(INTERRUPTED)


def _show(runs: Mapping[str, Run], ceiling: Ceiling, json_file: Path | None) -> None:
    stdout.print(comparison({name: run.report for name, run in runs.items()}, ceiling))
    for name, run in runs.items():
        for kind, count in run.errors.items():
            stderr.print(f"{name}: {count} requests failed with {kind}", style="red", markup=False)
        if run.decision is not None:
            stdout.print("\nWhy one of the requests went where it went:", style="bold")
            stdout.print(render_decision(run.decision))
    if json_file is not None:
        figures = {
            "runs": {name: run.report.as_dict() for name, run in runs.items()},
            "ceiling": ceiling_as_dict(ceiling),
        }
        json_file.write_text(json.dumps(figures, indent=2) + "\n")


async def _keep(seed: int) -> None:
    stop = stop_signal()
    async with gateway(GATEWAYS["turnout"], seed) as started:
        stdout.print(f"\nA gateway with fresh servers runs until Ctrl-C. Pages: {started.admin_url}/", markup=False)
        stdout.print(_curl_line(started), markup=False)
        await stop.wait()


def _curl_line(started: Gateway) -> str:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 20}
    return f"curl {started.url}/v1/chat/completions -H 'content-type: application/json' -d '{json.dumps(body)}'"
