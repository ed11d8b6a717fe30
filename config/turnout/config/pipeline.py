"""The result of a configuration: one immutable set of plugins, wired and checked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType

from turnout.config.effective import Effective
from turnout.config.problems import Problem
from turnout.framework import (
    Admitter,
    DataProducer,
    DataSource,
    Diagnosed,
    EndpointDiscovery,
    EndpointWatcher,
    Extractor,
    Named,
    Parser,
    PreRequest,
    ResponseBody,
    ResponseComplete,
    ResponseHeaders,
    Runnable,
    Scheduler,
    Screener,
)


@dataclass(frozen=True, slots=True)
class Origin:
    """What a plugin was built from. Two equal origins may share one plugin."""

    type: str
    factory: Callable[..., object]
    arguments: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class SourceBinding:
    """A data source and the extractors that read each of its pages, in order."""

    source: Named[DataSource]
    extractors: tuple[Named[Extractor], ...]


@dataclass(frozen=True, slots=True)
class BandSettings:
    """Limits of the queue of one priority, in bytes and in requests, and the names of its policies."""

    priority: int = 0
    max_bytes: int = 1_000_000_000
    max_requests: int = 5_000
    fairness_policy: str = "global-strict-fairness-policy"
    ordering_policy: str = "fcfs-ordering-policy"


@dataclass(frozen=True, slots=True)
class FlowControlSettings:
    """Checked settings of flow control. ``None`` for a maximum is no limit, for a time to live no end.

    Policies and the detector are names of plugins; ``saturation_detector`` is None when no plugin offers one.
    """

    max_bytes: int | None = None
    max_requests: int | None = None
    default_request_ttl: timedelta | None = timedelta(seconds=60)
    no_endpoint_request_ttl: timedelta | None = timedelta(seconds=60)
    default_band: BandSettings = BandSettings()
    default_negative_band: BandSettings = BandSettings()
    bands: Mapping[int, BandSettings] = field(default_factory=lambda: MappingProxyType({}))
    usage_limit_policy: str = "static-usage-limit-policy"
    saturation_detector: str | None = None
    enable_eviction: bool = False


@dataclass(frozen=True)
class Pipeline:
    """Everything a configuration asks for, as plugins ready to be called. Immutable; a reload makes another.

    ``plugins`` holds every plugin by its name and ``origins`` what each was built from, both in the order of the
    file, injected ones last; the tuples keep that order. Producers of one stage do not read each other's keys and
    may run concurrently; a stage reads what earlier stages wrote.

    A pipeline that is loaded with ``previous`` takes over, with its state, each plugin whose name, type and
    parameters (defaults included) are those of the previous one. All other plugins begin empty. Closing the
    sources that only the previous pipeline has is the caller's part.
    """

    scheduler: Scheduler
    plugins: Mapping[str, object]
    origins: Mapping[str, Origin]
    producer_stages: tuple[tuple[Named[DataProducer], ...], ...]
    screeners: tuple[Named[Screener], ...]
    admitters: tuple[Named[Admitter], ...]
    pre_request: tuple[Named[PreRequest], ...]
    response_headers: tuple[Named[ResponseHeaders], ...]
    response_body: tuple[Named[ResponseBody], ...]
    response_complete: tuple[Named[ResponseComplete], ...]
    parsers: tuple[Named[Parser], ...]
    sources: tuple[SourceBinding, ...]
    discovery: Named[EndpointDiscovery] | None
    runnables: tuple[Named[Runnable], ...]
    watchers: tuple[Named[EndpointWatcher], ...]
    diagnosed: tuple[Named[Diagnosed], ...]
    feature_gates: Mapping[str, bool]
    flow_control: FlowControlSettings
    reads_body: bool
    warnings: tuple[Problem, ...]
    effective: Effective

    @property
    def reads_response_headers(self) -> bool:
        """Whether the proxy has to send response headers."""
        return bool(self.response_headers)

    @property
    def reads_response_body(self) -> bool:
        """Whether the proxy has to send response bodies: some plugin needs them."""
        return any(getattr(named.plugin, "needs_response_body", True) for named in self.response_body)
