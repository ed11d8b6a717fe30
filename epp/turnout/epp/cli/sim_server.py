"""`turnout sim-server`: a simulated vLLM replica."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from turnout.epp.cli.go_flags import comma_list
from turnout.epp.cli.screen import EXIT_USAGE, errors_as_messages, print_json, run_loop, stdout
from turnout.epp.simulator.faults import parse_fault
from turnout.epp.simulator.kv_links import KvLinks, parse_kv_links
from turnout.epp.simulator.options import SimServerOptions
from turnout.epp.simulator.server import RunningSimServer, serve_sim_servers

_DEFAULTS = SimServerOptions()

MAX_SERVERS = 64


def sim_server(
    *,
    model: Annotated[str, typer.Option(help="Name of the base model, as clients must spell it.")] = _DEFAULTS.model,
    host: Annotated[str, typer.Option(help="Address to listen on, for HTTP and KV events.")] = _DEFAULTS.host,
    port: Annotated[int, typer.Option(help="HTTP port; 0 takes any free one.")] = _DEFAULTS.port,
    servers: Annotated[
        int, typer.Option(help="How many to run in this process, on any free ports, with seeds that count up.")
    ] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the answers and of the requests that a fault strikes.")] = 0,
    time_scale: Annotated[
        float, typer.Option(help="Wall-clock seconds per simulated second: 0.1 is 10x faster.")
    ] = 1.0,
    block_size: Annotated[int, typer.Option(help="Tokens per KV-cache block.")] = _DEFAULTS.block_size,
    num_blocks: Annotated[int, typer.Option(help="Blocks in the KV cache.")] = _DEFAULTS.num_blocks,
    max_num_seqs: Annotated[int, typer.Option(help="Most requests in the running batch.")] = _DEFAULTS.max_num_seqs,
    max_num_batched_tokens: Annotated[
        int, typer.Option(help="Most tokens computed in one engine step.")
    ] = _DEFAULTS.max_num_batched_tokens,
    max_model_len: Annotated[
        int, typer.Option(help="Most tokens of prompt and answer together.")
    ] = _DEFAULTS.max_model_len,
    lora: Annotated[list[str] | None, typer.Option(help="LoRA adapter to serve; repeat or separate by commas.")] = None,
    max_loras: Annotated[int, typer.Option(help="Most distinct adapters in the running batch.")] = _DEFAULTS.max_loras,
    kv_events_port: Annotated[
        int | None, typer.Option(help="ZMQ port that publishes KV-cache events; 0 takes any free one.")
    ] = None,
    kv_replay_port: Annotated[int | None, typer.Option(help="ZMQ port that replays the last KV-cache events.")] = None,
    kv_events_topic: Annotated[str | None, typer.Option(help="ZMQ topic; default kv@HOST:PORT@MODEL.")] = None,
    kv_links: Annotated[
        Path | None,
        typer.Option(help="JSON file: how fast KV cache comes from the servers that compute prompts for this one."),
    ] = None,
    kv_bytes_per_token: Annotated[
        int, typer.Option(help="Bytes of KV cache for each token that comes from another server.")
    ] = _DEFAULTS.kv_bytes_per_token,
    fault: Annotated[
        str, typer.Option(help="none, slow:factor=4, error:share=0.2, hang, reset:after_tokens=3 or crash.")
    ] = "none",
    as_json: Annotated[bool, typer.Option("--json", help="Announce the address as a line of JSON.")] = False,
) -> None:
    """Serve a simulated vLLM replica until interrupted.

    Speaks the OpenAI API (completions, chat, models), vLLM's metrics and its KV-cache events, timed by a
    calibrated engine model: by default Llama-3.1-8B on one H100 in real time. A fault can also be switched on
    while it serves: POST /sim/fault {"kind": "slow", "factor": 3}.

    Example: turnout sim-server --port 8101 --model tiny --time-scale 0.2
    """
    with errors_as_messages(ValueError, OSError, status=EXIT_USAGE):
        options = SimServerOptions(
            model=model,
            host=host,
            port=port,
            seed=seed,
            time_scale=time_scale,
            block_size=block_size,
            num_blocks=num_blocks,
            max_num_seqs=max_num_seqs,
            max_num_batched_tokens=max_num_batched_tokens,
            max_model_len=max_model_len,
            lora_names=comma_list(lora or ()),
            max_loras=max_loras,
            kv_events_port=kv_events_port,
            kv_replay_port=kv_replay_port,
            kv_events_topic=kv_events_topic,
            kv_links=_read_links(kv_links),
            kv_bytes_per_token=kv_bytes_per_token,
            fault=parse_fault(fault),
        )
        several = _several(options, servers)
    with errors_as_messages(OSError):
        run_loop(serve_sim_servers(several, _announce_json if as_json else _announce))


def _read_links(file: Path | None) -> KvLinks | None:
    return None if file is None else parse_kv_links(file.read_bytes())


def _several(options: SimServerOptions, count: int) -> Sequence[SimServerOptions]:
    if not 1 <= count <= MAX_SERVERS:
        raise ValueError(f"servers must be between 1 and {MAX_SERVERS}, got {count}")
    if count > 1 and any((options.port, options.kv_events_port, options.kv_replay_port)):
        raise ValueError("servers above 1 need port 0, and 0 or none for KV events and their replay")
    return [replace(options, seed=options.seed + number) for number in range(count)]


def _announce(servers: Sequence[RunningSimServer]) -> None:
    for server in servers:
        stdout.print(f"Simulated model server on {server.url} (metrics at {server.url}/metrics)", markup=False)


def _announce_json(servers: Sequence[RunningSimServer]) -> None:
    first = servers[0]
    ports = {"kv_events_port": first.kv_events_port, "kv_replay_port": first.kv_replay_port}
    print_json({"url": first.url, "urls": [server.url for server in servers], **ports})
