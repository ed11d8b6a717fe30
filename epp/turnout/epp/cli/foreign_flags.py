"""Flags of the Go picker that have no counterpart: taken off the command line, with a word about each."""

from collections.abc import Sequence
from dataclasses import dataclass

# Flag -> whether a value follows it.
_WITHOUT_EFFECT: dict[str, bool] = {
    "allow-experimental-plugins": False,
    "enable-pprof": False,
    "ha-enable-leader-election": False,
    "metrics-endpoint-auth": False,
    "metrics-staleness-threshold": True,
    "pool-group": True,
    "pool-namespace": True,
    "refresh-prometheus-metrics-interval": True,
    "grpc-max-send-msg-size": True,
    "tracing": False,
    "zap-devel": False,
    "zap-encoder": True,
    "zap-log-level": True,
    "zap-stacktrace-level": True,
    "zap-time-encoding": True,
}

_REFUSED: dict[str, str] = {
    **dict.fromkeys(
        (
            "total-queued-requests-metric",
            "total-running-requests-metric",
            "kv-cache-usage-percentage-metric",
            "lora-info-metric",
            "cache-info-metric",
        ),
        "is not a flag any more; name the metric in engineConfigs of core-metrics-extractor",
    ),
    **dict.fromkeys(
        ("endpoint-selector", "endpoint-target-ports"),
        "needs Kubernetes discovery, which this version does not have; use --endpoint or file-discovery",
    ),
    **dict.fromkeys(
        ("metrics-client-ca-file", "metrics-cert-dir", "tls-min-version", "tls-cipher-suites"),
        "is not supported: it would be a promise about security that is not kept",
    ),
}


@dataclass(frozen=True, slots=True)
class ForeignFlags:
    """``arguments`` are what is left for our parser; the others are flags by name, and sentences."""

    arguments: tuple[str, ...]
    without_effect: tuple[str, ...]
    refused: tuple[str, ...]


def separate(arguments: Sequence[str]) -> ForeignFlags:
    """Takes out the flags without a counterpart. Expects long flags with two dashes."""
    ours: list[str] = []
    without_effect: list[str] = []
    refused: list[str] = []
    remaining = iter(arguments)
    for argument in remaining:
        name, has_value, _ = argument.removeprefix("--").partition("=")
        bare = name.removeprefix("no-")
        if not argument.startswith("--"):
            ours.append(argument)
        elif name in _REFUSED:
            refused.append(f"--{name} {_REFUSED[name]}")
        elif bare in _WITHOUT_EFFECT:
            without_effect.append(f"--{bare}")
            if _WITHOUT_EFFECT[bare] and not has_value:
                next(remaining, None)
        else:
            ours.append(argument)
    return ForeignFlags(tuple(ours), tuple(without_effect), tuple(refused))
