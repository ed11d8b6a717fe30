"""The two clusters of a gateway: the model servers and the EPP."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from turnout.epp.gateway.options import Address, Balanced, Cluster, EppTls, OriginalDst
from turnout.epp.wire_names import DESTINATION, DESTINATION_NAMESPACE

ConfigValue = str | int | float | bool | Sequence["ConfigValue"] | Mapping[str, "ConfigValue"]
ConfigTree = dict[str, ConfigValue]
"""A piece of an Envoy configuration: what YAML can hold."""

MODEL_SERVERS = "model_servers"
EPP = "epp"

_TYPE = "type.googleapis.com/envoy.extensions."
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
# uvicorn, under every engine in use, closes an idle connection after 5 s. A request that meets that close is
# lost and must not be retried, so Envoy lets go first.
_UPSTREAM_IDLE = "4s"
_WINDOW_BYTES = 16 * 1024 * 1024
# Envoy's default of 1024 counts requests in flight: too few for long generations. The EPP is what limits load.
_UNLIMITED = 1_000_000


def typed(name: str, type_name: str, fields: ConfigTree | None = None) -> ConfigTree:
    """An extension: its name, the type below `envoy.extensions.` and its fields."""
    return {"name": name, "typed_config": {"@type": _TYPE + type_name, **(fields or {})}}


def model_servers_cluster(cluster: Cluster) -> ConfigTree:
    """The cluster that requests are routed to."""
    shared: ConfigTree = {
        "name": MODEL_SERVERS,
        "connect_timeout": "1s",
        "circuit_breakers": _thresholds(),
        "typed_extension_protocol_options": {
            _HTTP_OPTIONS: {
                "@type": f"type.googleapis.com/{_HTTP_OPTIONS}",
                "common_http_protocol_options": {"idle_timeout": _UPSTREAM_IDLE},
                "explicit_http_config": {"http_protocol_options": {}},
            }
        },
    }
    return shared | _discovery(cluster)


def epp_cluster(address: Address, tls: EppTls | None) -> ConfigTree:
    """The cluster of the EPP's gRPC port, which serves ext_proc and the access log."""
    options: ConfigTree = {
        "initial_stream_window_size": _WINDOW_BYTES,
        "initial_connection_window_size": 4 * _WINDOW_BYTES,
    }
    cluster: ConfigTree = {
        "name": EPP,
        "connect_timeout": "1s",
        "circuit_breakers": _thresholds(),
        "typed_extension_protocol_options": {
            _HTTP_OPTIONS: {
                "@type": f"type.googleapis.com/{_HTTP_OPTIONS}",
                "explicit_http_config": {"http2_protocol_options": options},
            }
        },
    }
    return cluster | _addresses(EPP, [address]) | _transport_socket(tls)


def assignment(cluster_name: str, endpoints: Iterable[Address]) -> ConfigTree:
    """A ClusterLoadAssignment."""
    return {
        "cluster_name": cluster_name,
        "endpoints": [{"lb_endpoints": [_lb_endpoint(address) for address in endpoints]}],
    }


def _lb_endpoint(address: Address) -> ConfigTree:
    socket: ConfigTree = {"address": address.host, "port_value": address.port}
    return {"endpoint": {"address": {"socket_address": socket}}}


def _thresholds() -> ConfigTree:
    names = ("max_connections", "max_pending_requests", "max_requests", "max_retries")
    return {"thresholds": [dict.fromkeys(names, _UNLIMITED)]}


def _discovery(cluster: Cluster) -> ConfigTree:
    if isinstance(cluster, OriginalDst):
        return {
            "type": "ORIGINAL_DST",
            "lb_policy": "CLUSTER_PROVIDED",
            "original_dst_lb_config": {"use_http_header": True, "http_header_name": DESTINATION},
        }
    if isinstance(cluster, Balanced):
        policy = _ROUND_ROBIN if cluster.policy == "round-robin" else _LEAST_REQUEST
        return _addresses(MODEL_SERVERS, cluster.endpoints) | _policies("load_balancing_policy", policy)
    if isinstance(cluster.endpoints, Path):
        return _eds(cluster.endpoints) | _override_host()
    return _addresses(MODEL_SERVERS, cluster.endpoints) | _override_host()


def _addresses(name: str, endpoints: Sequence[Address]) -> ConfigTree:
    resolved = all(address.is_ip() for address in endpoints)
    return {
        "type": "STATIC" if resolved else "STRICT_DNS",
        "load_assignment": assignment(name, endpoints),
    }


def _eds(path: Path) -> ConfigTree:
    source: ConfigTree = {
        "path_config_source": {"path": str(path), "watched_directory": {"path": str(path.parent)}},
        "resource_api_version": "V3",
    }
    return {"type": "EDS", "eds_cluster_config": {"service_name": MODEL_SERVERS, "eds_config": source}}


def _override_host() -> ConfigTree:
    fields: ConfigTree = {
        "override_host_sources": [{"metadata": {"key": DESTINATION_NAMESPACE, "path": [{"key": DESTINATION}]}}],
        **_policies("fallback_policy", _ROUND_ROBIN),
    }
    return _policies("load_balancing_policy", _policy("override_host", "OverrideHost", fields))


def _policies(setting: str, policy: ConfigTree) -> ConfigTree:
    return {setting: {"policies": [{"typed_extension_config": policy}]}}


def _policy(name: str, message: str, fields: ConfigTree | None = None) -> ConfigTree:
    policy = f"load_balancing_policies.{name}"
    return typed(f"envoy.{policy}", f"{policy}.v3.{message}", fields)


_ROUND_ROBIN = _policy("round_robin", "RoundRobin")
# Without the scan Envoy compares two endpoints drawn at random and often takes one that is not the least loaded.
_LEAST_REQUEST = _policy("least_request", "LeastRequest", {"selection_method": "FULL_SCAN"})


def _transport_socket(tls: EppTls | None) -> ConfigTree:
    if tls is None:
        return {}
    trust: ConfigTree = {"trusted_ca": {"filename": str(tls.ca_path)}} if tls.ca_path else {}
    context: ConfigTree = {"alpn_protocols": ["h2"], "validation_context": trust}
    fields: ConfigTree = {"common_tls_context": context}
    socket = typed("envoy.transport_sockets.tls", "transport_sockets.tls.v3.UpstreamTlsContext", fields)
    return {"transport_socket": socket}
