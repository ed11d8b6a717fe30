"""The files in config/envoy, for people who run an Envoy of their own.

They are generated, so that they cannot drift from what `turnout up` runs:
`python -m turnout.epp.gateway.shipped config/envoy` writes them.
"""

import sys
from pathlib import Path

from turnout.epp.gateway.bootstrap import envoy_bootstrap, to_yaml
from turnout.epp.gateway.options import Address, Cluster, GatewayOptions, OriginalDst, OverrideHost

_PORTS = "# Ports: 8080 requests, 9002 the EPP, 9901 Envoy's admin page. Check with: envoy --mode validate -c FILE"
_BUFFERED = """\
# Request bodies are buffered by Envoy: one message to the EPP, nothing echoed. The EPP sees no response and
# learns a request's end from the access log."""
_FULL_DUPLEX = """\
# Bodies are streamed through the EPP in both directions, as the Gateway API Inference Extension describes it.
# Dearer than the buffered files; needed by plugins that read or change response bodies."""
_OVERRIDE_HOST = """\
# Envoy knows the endpoints (put yours at the end of this file), the EPP says which one. A dead endpoint costs a
# retry: the EPP's list is tried in order, then any endpoint."""
_ORIGINAL_DST = """\
# Envoy dials whatever address the EPP names and needs no list of endpoints. A dead endpoint is an error (503)."""

_ENDPOINTS = tuple(Address("127.0.0.1", port) for port in (8101, 8102, 8103, 8104))


def shipped_files() -> dict[str, str]:
    """File name -> content."""
    clusters: dict[str, tuple[Cluster, str]] = {
        "override-host": (OverrideHost(_ENDPOINTS), _OVERRIDE_HOST),
        "original-dst": (OriginalDst(), _ORIGINAL_DST),
    }
    files: dict[str, str] = {}
    for name, (cluster, about) in clusters.items():
        files[f"buffered-{name}.yaml"] = _file(GatewayOptions(cluster), _BUFFERED, about)
        files[f"full-duplex-{name}.yaml"] = _file(_full_duplex(cluster), _FULL_DUPLEX, about)
    return files


def _full_duplex(cluster: Cluster) -> GatewayOptions:
    return GatewayOptions(
        cluster,
        request_body="full-duplex",
        response_headers=True,
        response_body="full-duplex",
        access_log=False,
    )


def _file(options: GatewayOptions, *about: str) -> str:
    return "\n".join([*about, _PORTS, to_yaml(envoy_bootstrap(options))])


def _write(folder: Path) -> None:
    for name, content in shipped_files().items():
        (folder / name).write_text(content)


if __name__ == "__main__":
    _write(Path(sys.argv[1]))
