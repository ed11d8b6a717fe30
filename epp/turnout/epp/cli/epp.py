"""`turnout epp`: the Endpoint Picker alone, behind somebody's Envoy. Takes the Go picker's command lines."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from turnout.config import ConfigError
from turnout.epp.cli.parameters import seconds, size_in_bytes
from turnout.epp.cli.screen import EXIT_USAGE, errors_as_messages, print_json, run_loop, stderr
from turnout.epp.lifecycle import serve
from turnout.epp.observe.logs import configure_logging
from turnout.epp.options import EppOptions
from turnout.epp.service import EndpointPicker, StartError

_DEFAULTS = EppOptions()

LogFormatOption = Annotated[Literal["text", "json"], typer.Option(help="How log lines are written, to standard error.")]
VerbosityOption = Annotated[int, typer.Option("--v", "-v", help="Log level as in Go: 2 info, 4 debug, 5 trace.")]
EndpointOption = Annotated[
    list[str] | None,
    typer.Option(help="Model server, URL or host:port, with labels if any: http://10.0.0.1:8000,tier=spot. Repeat it."),
]
ConfigFileOption = Annotated[
    Path | None, typer.Option(help="EndpointPickerConfig file; without one, config/profiles/default.yaml applies.")
]


def epp(
    *,
    config_file: ConfigFileOption = None,
    config_text: Annotated[str | None, typer.Option(help="The same as text.")] = None,
    endpoint: EndpointOption = None,
    pool_name: Annotated[str, typer.Option(help="Name of the pool in metrics.")] = _DEFAULTS.pool_name,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = _DEFAULTS.host,
    grpc_port: Annotated[int, typer.Option(help="Port of ext_proc.")] = _DEFAULTS.grpc_port,
    grpc_health_port: Annotated[int, typer.Option(help="Port of gRPC health.")] = _DEFAULTS.grpc_health_port,
    metrics_port: Annotated[int, typer.Option(help="Port of metrics and admin pages.")] = _DEFAULTS.metrics_port,
    secure_serving: Annotated[bool, typer.Option(help="TLS on ext_proc; self-signed without --cert-path.")] = True,
    cert_path: Annotated[Path | None, typer.Option(help="Folder with tls.crt and tls.key.")] = None,
    enable_cert_reload: Annotated[bool, typer.Option(help="Take up changed certificates.")] = False,
    health_checking: Annotated[bool, typer.Option(help="gRPC health on the ext_proc port, too.")] = False,
    drain_timeout: Annotated[
        float, typer.Option(parser=seconds, metavar="DURATION", help="How long SIGTERM lets requests in, not ready.")
    ] = "30s",  # type: ignore[assignment]  # typer reads defaults as it reads arguments
    grpc_max_recv_msg_size: Annotated[
        int | None, typer.Option(parser=size_in_bytes, metavar="SIZE", help="Bound of one gRPC message.")
    ] = None,
    max_request_body_bytes: Annotated[int, typer.Option(help="Larger requests get 413.")] = (
        _DEFAULTS.max_request_body_bytes
    ),
    disable_endpoint_subset_filter: Annotated[bool, typer.Option(help="Ignore the proxy's subset hint.")] = False,
    emit_endpoint_scores: Annotated[bool, typer.Option(help="All scores in dynamic metadata.")] = False,
    enable_grpc_stream_metrics: Annotated[bool, typer.Option(help="Metrics of ext_proc streams.")] = False,
    fallback_endpoints: Annotated[int, typer.Option(help="Next best endpoints to list after the pick.")] = 0,
    refresh_metrics_interval: Annotated[
        float, typer.Option(parser=seconds, metavar="DURATION", help="How often a busy endpoint is scraped.")
    ] = "50ms",  # type: ignore[assignment]  # typer reads defaults as it reads arguments
    metrics_prefix: Annotated[str, typer.Option(help="llm_d_epp_ suits existing dashboards.")] = "turnout_",
    explain_sample_rate: Annotated[float, typer.Option(help="Share of decisions to explain on /decisions.")] = 0.0,
    allow_queue_changes: Annotated[
        bool, typer.Option(help="Let PUT /queue/REQUEST-ID?priority=N on the metrics port change a queued request.")
    ] = False,
    eds_file: Annotated[Path | None, typer.Option(help="Endpoint file to keep current for Envoy.")] = None,
    log_format: LogFormatOption = "text",
    v: VerbosityOption = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Announce the ports as a line of JSON.")] = False,
) -> None:
    """Run the Endpoint Picker for an Envoy that is already there.

    Envoy's configuration: config/envoy/*.yaml in the distribution, or `turnout up --print-envoy-config`.
    Flags may be written as for the Go picker: --secure-serving=false, -grpc-port=9002. SIGTERM drains.

    Example: turnout epp --config-file epp.yaml --secure-serving=false
    """
    configure_logging(log_format, v)
    with errors_as_messages(ValueError, status=EXIT_USAGE):
        options = EppOptions(
            host=host,
            grpc_port=grpc_port,
            grpc_health_port=grpc_health_port,
            metrics_port=metrics_port,
            pool_name=pool_name,
            config_file=config_file,
            config_text=config_text,
            endpoints=tuple(endpoint or ()),
            secure_serving=secure_serving,
            cert_path=cert_path,
            enable_cert_reload=enable_cert_reload,
            health_checking=health_checking,
            drain_timeout=drain_timeout,
            grpc_max_recv_msg_size=grpc_max_recv_msg_size,
            max_request_body_bytes=max_request_body_bytes,
            disable_endpoint_subset_filter=disable_endpoint_subset_filter,
            emit_endpoint_scores=emit_endpoint_scores,
            enable_grpc_stream_metrics=enable_grpc_stream_metrics,
            fallback_endpoints=fallback_endpoints,
            refresh_metrics_interval=refresh_metrics_interval,
            metrics_prefix=metrics_prefix,
            explain_sample_rate=explain_sample_rate,
            allow_queue_changes=allow_queue_changes,
            eds_file=eds_file,
        )
    with errors_as_messages(ConfigError, status=EXIT_USAGE), errors_as_messages(StartError, OSError):
        run_loop(serve(options, _announce_json if as_json else _announce))


def _announce(picker: EndpointPicker) -> None:
    stderr.print(
        f"Endpoint Picker: ext_proc on port {picker.grpc_port}, metrics and pages on http://127.0.0.1:{picker.metrics_port}/",
        markup=False,
    )


def _announce_json(picker: EndpointPicker) -> None:
    print_json({"grpc_port": picker.grpc_port, "metrics_port": picker.metrics_port})
