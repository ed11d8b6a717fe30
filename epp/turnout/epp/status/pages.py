"""What a running picker says of its endpoints, its queue, its promises and its size."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from turnout.epp.admin.reading import MAX_PAGE_BYTES, TIMEOUT_SECONDS, page_reader

Number: TypeAlias = int | float | None


class Value(msgspec.Struct, frozen=True):
    """A metric as the engine reported it last, so many seconds ago."""

    value: Number = None
    age_seconds: Number = None


class Load(msgspec.Struct, frozen=True):
    """What an engine says of its load."""

    waiting_queue_size: Value = Value()
    running_requests: Value = Value()
    kv_cache_utilization: Value = Value()


class EndpointPage(msgspec.Struct, frozen=True):
    """One endpoint of ``/endpoints``."""

    name: str
    in_service: bool = True
    reason: str = ""
    in_flight: Number = None
    metrics: Load = Load()


class BandPage(msgspec.Struct, frozen=True):
    """Requests of one priority that wait. ``max_requests`` None is no limit."""

    priority: Number
    level: str = ""
    queued: Number = None
    bytes: Number = None
    oldest_seconds: Number = None
    max_requests: Number = None
    flows: Number = None


class QueuePage(msgspec.Struct, frozen=True):
    """``/queue``; without flow control it is not enabled, and the rest says nothing."""

    enabled: bool
    queued: Number = None
    bytes: Number = None
    saturation: Number = None
    strategy: str = ""
    expected_wait_seconds: Number = None
    bands: list[BandPage] = []
    deferred: Number = None


class WindowPage(msgspec.Struct, frozen=True):
    """The requests that a target is about, of the last so many seconds."""

    seconds: Number
    requests: Number
    compliance: Number
    burn_rate: Number

    @property
    def is_burning(self) -> bool:
        """Whether the error budget is spent faster than promised."""
        return self.burn_rate is not None and self.burn_rate > 1.0


class TargetPage(msgspec.Struct, frozen=True):
    """One target of ``/sla``."""

    plugin: str
    target: str
    metric: str
    percentile: Number
    target_seconds: Number
    short: WindowPage
    long: WindowPage
    selects: dict[str, str] = {}
    observed_seconds: dict[str, Number] = {}

    @property
    def is_burning(self) -> bool:
        """Whether the error budget is spent too fast, and has been for long."""
        return self.short.is_burning and self.long.is_burning


class AdvicePage(msgspec.Struct, frozen=True):
    """How many replicas one group of endpoints should have, of ``/autoscaling``."""

    plugin: str
    group: str
    basis: str
    desired: Number
    current: Number = None
    needed: Number = None
    min: Number = None
    max: Number = None
    reason: str = ""


class _Endpoints(msgspec.Struct, frozen=True):
    endpoints: list[EndpointPage]


class _Targets(msgspec.Struct, frozen=True):
    targets: list[TargetPage]


class _Advice(msgspec.Struct, frozen=True):
    advice: list[AdvicePage]


@dataclass(frozen=True, slots=True)
class Status:
    """``not_ready`` is empty when the picker takes requests; ``queue`` is None when it has no page of that."""

    not_ready: str
    endpoints: Sequence[EndpointPage]
    queue: QueuePage | None = None
    targets: Sequence[TargetPage] = ()
    advice: Sequence[AdvicePage] = ()

    @property
    def is_fine(self) -> bool:
        """Whether it takes requests and no target is burning."""
        return not self.not_ready and not any(target.is_burning for target in self.targets)

    def as_dict(self) -> dict[str, object]:
        """As JSON types."""
        return {
            "fine": self.is_fine,
            "ready": not self.not_ready,
            "reason": self.not_ready,
            "endpoints": _plain(list(self.endpoints)),
            "queue": _plain(self.queue),
            "targets": [{**_members(target), "burning": target.is_burning} for target in self.targets],
            "advice": _plain(list(self.advice)),
        }


async def fetch_status(url: str, max_bytes: int = MAX_PAGE_BYTES, timeout_seconds: float = TIMEOUT_SECONDS) -> Status:
    """How the picker is whose metrics port is behind the URL.

    Raises:
        ValueError: the URL is none.
        PickerNotAskedError: a page cannot be had or is not what it should be.
    """
    async with page_reader(url, max_bytes, timeout_seconds) as reader:
        not_ready = await reader.status_page("readyz")
        endpoints = await reader.page("endpoints", _Endpoints)
        queue = await reader.optional_page("queue", QueuePage)
        targets = await reader.optional_page("sla", _Targets)
        advice = await reader.optional_page("autoscaling", _Advice)
    return Status(
        not_ready,
        endpoints.endpoints,
        queue,
        () if targets is None else targets.targets,
        () if advice is None else advice.advice,
    )


def _plain(value: object) -> object:
    """The value as JSON types, without the numbers that JSON does not have."""
    plain: object = msgspec.to_builtins(value)
    return _finite(plain)


def _members(value: object) -> dict[str, object]:
    plain = _plain(value)
    return dict(plain) if isinstance(plain, dict) else {}


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {key: _finite(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_finite(member) for member in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
