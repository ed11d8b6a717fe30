"""The status of a picker as a person reads it in a terminal."""

import math
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from turnout.epp.observe.labels import printable
from turnout.epp.status.pages import (
    AdvicePage,
    BandPage,
    EndpointPage,
    Number,
    QueuePage,
    Status,
    TargetPage,
    WindowPage,
)
from turnout.epp.text_table import aligned

NOTHING = "-"
_LARGEST = 1e15


def render_status(status: Status) -> RenderableType:
    """Readiness, and a table each of the endpoints, the queue, the promises and the advice about replicas."""
    parts: list[RenderableType] = [_readiness(status.not_ready), *_endpoints(status.endpoints)]
    if status.queue is not None:
        parts += _queue(status.queue)
    if status.targets:
        parts += _targets(status.targets)
    if status.advice:
        parts += _advice(status.advice)
    return Group(*parts)


def _readiness(not_ready: str) -> Text:
    if not_ready:
        return Text.assemble(("not ready", "bold red"), f": {printable(not_ready)}")
    return Text("ready", style="green")


# --- endpoints -------------------------------------------------------------------------------------------


def _endpoints(endpoints: Sequence[EndpointPage]) -> list[Text]:
    serving = sum(endpoint.in_service for endpoint in endpoints)
    title = Text(f"\nendpoints: {serving} of {len(endpoints)} in service", style="bold")
    if not endpoints:
        return [title]
    head = ("endpoint", "waiting", "running", "KV cache", "in flight", "age", "note")
    return [title, *aligned(head, map(_endpoint, endpoints), ("endpoint", "note"))]


def _endpoint(endpoint: EndpointPage) -> Sequence[str]:
    load = endpoint.metrics
    values = (load.waiting_queue_size, load.running_requests, load.kv_cache_utilization)
    ages = [value.age_seconds for value in values if value.age_seconds is not None]
    out = f"out of service: {endpoint.reason}" if endpoint.reason else "out of service"
    return (
        endpoint.name,
        _count(load.waiting_queue_size.value),
        _count(load.running_requests.value),
        _share(load.kv_cache_utilization.value),
        _count(endpoint.in_flight),
        # The oldest of them: what it says is at least as fresh as that.
        _duration(max(ages, default=None)),
        "" if endpoint.in_service else out,
    )


# --- the queue -------------------------------------------------------------------------------------------


def _queue(queue: QueuePage) -> list[Text]:
    if not queue.enabled:
        return [Text("\nqueue: flow control is off", style="bold")]
    parts = [
        f"{_count(queue.queued)} requests wait ({_size(queue.bytes)})",
        *([f"{_count(queue.deferred)} of them deferred"] if queue.deferred else []),
        f"saturation {_number(queue.saturation)}",
        f"one more at the end would wait {_duration(queue.expected_wait_seconds)}",
        *([f"strategy {printable(queue.strategy)}"] if queue.strategy else []),
    ]
    title = Text(f"\nqueue: {', '.join(parts)}", style="bold")
    head = ("priority", "level", "requests", "at most", "bytes", "flows", "oldest")
    return [title, *aligned(head, map(_band, queue.bands), ("level",))] if queue.bands else [title]


def _band(band: BandPage) -> Sequence[str]:
    limit = "no limit" if band.max_requests is None else _count(band.max_requests)
    return (
        _count(band.priority),
        band.level or NOTHING,
        _count(band.queued),
        limit,
        _size(band.bytes),
        _count(band.flows),
        _duration(band.oldest_seconds),
    )


# --- promises --------------------------------------------------------------------------------------------


def _targets(targets: Sequence[TargetPage]) -> list[Text]:
    burning = [target for target in targets if target.is_burning]
    title = Text(f"\npromises: {len(burning)} of {len(targets)} burning", style="bold")
    head = ("target", "promise", "requests", "met", "observed", "burn rate", "long", "note")
    return [title, *aligned(head, map(_target, targets), ("target", "promise", "note")), *map(_alarm, burning)]


def _target(target: TargetPage) -> Sequence[str]:
    short, long = target.short, target.long
    return (
        target.target,
        _promise(target),
        _count(short.requests),
        _share(short.compliance),
        _duration(target.observed_seconds.get(_quantile(target.percentile))),
        _burn_rate(short),
        _burn_rate(long),
        ", ".join(f"{name} {value}" for name, value in target.selects.items()),
    )


def _burn_rate(window: WindowPage) -> str:
    return f"{_number(window.burn_rate)} in {_duration(window.seconds)}"


def _promise(target: TargetPage) -> str:
    limit = "as asked for" if target.target_seconds is None else f"<= {_duration(target.target_seconds)}"
    percentile = _told(target.percentile)
    return f"p{NOTHING if percentile is None else f'{percentile:g}'} {target.metric} {limit}"


def _quantile(percentile: Number) -> str:
    """The quantile as the picker's page names it."""
    return "" if percentile is None else f"{percentile / 100.0:g}"


def _alarm(target: TargetPage) -> Text:
    spent = f"{_number(target.short.burn_rate)} and {_number(target.long.burn_rate)} times faster than promised"
    return Text.assemble(("burning", "bold red"), f": {printable(target.target)} spends its error budget {spent}")


# --- replicas ---------------------------------------------------------------------------------------------


def _advice(advice: Sequence[AdvicePage]) -> list[Text]:
    title = Text("\nreplicas: advice", style="bold")
    head = ("group", "by", "there are", "should be", "load asks for", "least", "most", "reason")
    return [title, *aligned(head, map(_of_group, advice), ("group", "by", "reason"))]


def _of_group(advice: AdvicePage) -> Sequence[str]:
    return (
        advice.group or "all",
        advice.basis,
        _count(advice.current),
        _count(advice.desired),
        _number(advice.needed),
        _count(advice.min),
        _count(advice.max),
        advice.reason,
    )


# --- values ----------------------------------------------------------------------------------------------


def _told(value: Number) -> float | None:
    """The value if it can be shown; a page may say anything."""
    if value is None or not -_LARGEST < value < _LARGEST:
        return None
    return float(value)


def _count(value: Number) -> str:
    told = _told(value)
    return NOTHING if told is None else f"{told:,.0f}"


def _number(value: Number) -> str:
    told = _told(value)
    return NOTHING if told is None else f"{told:.4g}"


def _share(value: Number) -> str:
    told = _told(value)
    if told is None:
        return NOTHING
    # 99.95% must not be shown as all.
    return f"{math.floor(told * 10_000.0 + 1e-9) / 100.0:.4g}%"


def _size(value: Number) -> str:
    told = _told(value)
    if told is None:
        return NOTHING
    return f"{told / 1e6:,.1f} MB" if told >= 1e6 else f"{told / 1e3:,.1f} kB"


def _duration(value: Number) -> str:
    told = _told(value)
    if told is None:
        return NOTHING
    if told < 1.0:
        return f"{told * 1000.0:.3g} ms"
    if told < 120.0:
        return f"{told:.3g} s"
    return f"{told / 60.0:,.3g} min" if told < 7200.0 else f"{told / 3600.0:,.3g} h"
