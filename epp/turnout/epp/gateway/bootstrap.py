"""Envoy's configuration, generated.

Theory of operation. Envoy asks the EPP only what the configured plugins need, since every message costs a
round trip: request bodies are BUFFERED (one message, and Envoy keeps the body, so nothing is echoed), response
headers and bodies are not sent unless asked for. Without them the EPP learns a request's end from the access
log: the EPP leaves a lease id in dynamic metadata (namespace `turnout`) and finds it again in the log entry.
Since Envoy keeps a BUFFERED stream open until the request has ended, and cuts the response when that stream
breaks, the EPP closes the stream after its last reply.

For eviction the stream has to stay open. Envoy closes it when it has nothing more to send on it; response trailers,
which hardly any response has, are what it then waits for. With response headers the EPP knows whether the client
can still be told the reason.

What a client must not decide is removed before any filter runs, so that it holds even when the EPP is dead and
requests are let through: the headers that name an endpoint, and Envoy's own `x-envoy-` controls.
"""

from typing import Literal

import yaml

from turnout.epp.gateway.clusters import (
    EPP,
    MODEL_SERVERS,
    ConfigTree,
    epp_cluster,
    model_servers_cluster,
    typed,
)
from turnout.epp.gateway.options import Address, Balanced, GatewayOptions, OriginalDst
from turnout.epp.wire_names import (
    LEASE_NAMESPACE,
    REQUEST_END_HEADER,
    REQUEST_END_IN_ACCESS_LOG,
    ROUTING_HEADERS,
    SINGLE_ATTEMPT,
)

_REQUEST_BODY = {
    "none": "NONE",
    "buffered": "BUFFERED",
    "buffered-partial": "BUFFERED_PARTIAL",
    "full-duplex": "FULL_DUPLEX_STREAMED",
}
_RESPONSE_BODY = {"none": "NONE", "streamed": "STREAMED", "full-duplex": "FULL_DUPLEX_STREAMED"}
_HTTP = "filters.http."
# Start of a line -> the comment above the first such line.
_COMMENTS = {
    "max_active_downstream_connections:": "Client connections; with the body bound, the bound of Envoy's memory.",
    "enable_reuse_port:": "With port reuse a second Envoy would share the port in silence; this way it fails.",
    "use_remote_address:": "Envoy is the edge: it writes x-forwarded-for.",
    "early_header_mutation_extensions:": "Before any filter: a client never names an endpoint, EPP or no EPP.",
    "name: envoy.access_loggers": "Tells the EPP how each request ended, without sending it the response.",
    "buffer_size_bytes: 0": "0 sends each entry at once: what a request held is released when it ends.",
    "request_body_buffer_limit:": "The bound of a buffered request body; more is answered 413.",
    "timeout: 0s": "No total limit: generations are long. idle_timeout ends the dead ones.",
    "retry_on:": "Failures before the request was sent; a second try must never generate twice.",
    "message_timeout:": "For each answer of the EPP, the time in its queue included.",
    "failure_mode_allow: false": "true lets requests through without the EPP; only with endpoints and BUFFERED bodies.",
    "request_trailer_mode: SEND": "FULL_DUPLEX_STREAMED needs trailers: they may be what ends the body.",
    "receiving_namespaces:": "Without these Envoy drops the EPP's pick and its lease.",
    "override_host_sources:": "The EPP's pick: one ip:port, or a list that is tried in order.",
    "circuit_breakers:": "The EPP limits the load; the default of 1024 would refuse long generations.",
    "idle_timeout: 4s": "Below the 5 s after which uvicorn closes an idle connection.",
}
_MAX_CONNECTIONS = 20_000
_HCM = "filters.network.http_connection_manager"


def envoy_bootstrap(options: GatewayOptions) -> ConfigTree:
    """The whole configuration of one gateway, as the tree that `to_yaml` writes."""
    with_epp = not isinstance(options.cluster, Balanced)
    epp = [epp_cluster(options.epp, options.epp_tls)] if with_epp else []
    return {
        "node": {"id": "turnout-gateway", "cluster": "turnout"},
        "admin": {"address": _socket(Address("127.0.0.1", options.admin_port))},
        "overload_manager": {"resource_monitors": [_connection_bound()]},
        "static_resources": {
            "listeners": [_listener(options)],
            "clusters": [model_servers_cluster(options.cluster), *epp],
        },
    }


def to_yaml(tree: ConfigTree) -> str:
    """The configuration as YAML text, in the order of the tree, commented where a setting is not obvious."""
    remaining = dict(_COMMENTS)
    lines: list[str] = []
    for line in yaml.safe_dump(tree, sort_keys=False, width=110).splitlines():
        setting = line.lstrip(" -")
        start = next((start for start in remaining if setting.startswith(start)), None)
        if start is not None:
            lines.append(f"{' ' * (len(line) - len(line.lstrip(' ')))}# {remaining.pop(start)}")
        lines.append(line)
    return "\n".join(lines) + "\n"


def _connection_bound() -> ConfigTree:
    fields: ConfigTree = {"max_active_downstream_connections": _MAX_CONNECTIONS}
    kind = "resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"
    return typed("envoy.resource_monitors.global_downstream_max_connections", kind, fields)


def _socket(address: Address) -> ConfigTree:
    return {"socket_address": {"address": address.host, "port_value": address.port}}


def _seconds(seconds: float) -> str:
    return f"{seconds:.3f}".rstrip("0").rstrip(".") + "s"


def _listener(options: GatewayOptions) -> ConfigTree:
    manager = typed(f"envoy.{_HCM}", f"{_HCM}.v3.HttpConnectionManager", _manager(options))
    return {
        "name": "gateway",
        "address": _socket(options.listen),
        "enable_reuse_port": False,
        "filter_chains": [{"filters": [manager]}],
    }


def _manager(options: GatewayOptions) -> ConfigTree:
    idle = _seconds(options.stream_idle_timeout_seconds)
    manager: ConfigTree = {
        "stat_prefix": "gateway",
        "use_remote_address": True,
        "preserve_external_request_id": True,
        "normalize_path": True,
        "stream_idle_timeout": idle,
        "request_headers_timeout": "10s",
        "early_header_mutation_extensions": [_forged_headers_removed()],
        "access_log": _access_logs(options),
        "route_config": {"name": "gateway", "virtual_hosts": [_virtual_host(options, idle)]},
        "http_filters": _http_filters(options),
    }
    return manager


def _forged_headers_removed() -> ConfigTree:
    removals: list[ConfigTree] = [{"remove": header} for header in ROUTING_HEADERS]
    removals.append({"remove_on_match": {"key_matcher": {"prefix": "x-envoy-"}}})
    kind = "http.early_header_mutation.header_mutation"
    return typed(f"envoy.{kind}", f"{kind}.v3.HeaderMutation", {"mutations": removals})


def _virtual_host(options: GatewayOptions, idle: str) -> ConfigTree:
    single: ConfigTree = {"cluster": MODEL_SERVERS, "timeout": "0s", "idle_timeout": idle}
    routes: list[ConfigTree] = [
        {"match": {"prefix": "/"}, "route": {**single, "retry_policy": _retry_policy(options)}},
    ]
    if options.request_body == "full-duplex":
        asked_for: ConfigTree = {"name": SINGLE_ATTEMPT, "present_match": True}
        match: ConfigTree = {"prefix": "/", "headers": [asked_for]}
        routes.insert(0, {"match": match, "route": single, "request_headers_to_remove": [SINGLE_ATTEMPT]})
    return {
        "name": "gateway",
        "domains": ["*"],
        "request_body_buffer_limit": options.max_body_bytes,
        "routes": routes,
    }


def _retry_policy(options: GatewayOptions) -> ConfigTree:
    policy: ConfigTree = {
        "retry_on": "connect-failure,refused-stream,reset-before-request",
        "num_retries": 3,
        "retry_back_off": {"base_interval": "0.005s", "max_interval": "0.050s"},
    }
    if isinstance(options.cluster, OriginalDst):
        return policy
    kind = "retry.host.previous_hosts"
    predicate = typed("envoy.retry_host_predicates.previous_hosts", f"{kind}.v3.PreviousHostsPredicate")
    return policy | {"retry_host_predicate": [predicate], "host_selection_retry_max_attempts": 5}


def _http_filters(options: GatewayOptions) -> list[ConfigTree]:
    router = typed(f"envoy.{_HTTP}router", f"{_HTTP}router.v3.Router")
    if isinstance(options.cluster, Balanced):
        return [router]
    return [typed(f"envoy.{_HTTP}ext_proc", f"{_HTTP}ext_proc.v3.ExternalProcessor", _ext_proc(options)), router]


def _ext_proc(options: GatewayOptions) -> ConfigTree:
    service: ConfigTree = {"envoy_grpc": {"cluster_name": EPP}}
    if options.access_log:
        service["initial_metadata"] = [{"key": REQUEST_END_HEADER, "value": REQUEST_END_IN_ACCESS_LOG}]
    return {
        "grpc_service": service,
        "message_timeout": _seconds(options.message_timeout_seconds),
        "failure_mode_allow": options.failure_mode_allow,
        "status_on_error": {"code": "ServiceUnavailable"},
        "processing_mode": _processing_mode(options),
        "metadata_options": {
            "forwarding_namespaces": {"untyped": ["envoy.lb", "envoy.lb.subset_hint"]},
            "receiving_namespaces": {"untyped": ["envoy.lb", LEASE_NAMESPACE]},
        },
        "mutation_rules": {"allow_all_routing": True},
    }


def _processing_mode(options: GatewayOptions) -> ConfigTree:
    return {
        "request_header_mode": "SEND",
        "request_body_mode": _REQUEST_BODY[options.request_body],
        "request_trailer_mode": _send(options.request_body == "full-duplex"),
        "response_header_mode": _send(options.response_headers or options.eviction),
        "response_body_mode": _RESPONSE_BODY[options.response_body],
        "response_trailer_mode": _send(options.response_body == "full-duplex" or options.eviction),
    }


def _send(wanted: bool) -> Literal["SEND", "SKIP"]:
    return "SEND" if wanted else "SKIP"


def _access_logs(options: GatewayOptions) -> list[ConfigTree]:
    if not options.access_log or isinstance(options.cluster, Balanced):
        return []
    common: ConfigTree = {
        "log_name": LEASE_NAMESPACE,
        "transport_api_version": "V3",
        "grpc_service": {"envoy_grpc": {"cluster_name": EPP}},
        "buffer_size_bytes": 0,
    }
    kind = "access_loggers.grpc.v3.HttpGrpcAccessLogConfig"
    return [typed("envoy.access_loggers.http_grpc", kind, {"common_config": common})]
