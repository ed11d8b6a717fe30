"""The result of a configuration: one immutable set of plugins, wired and checked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from turnout.config.effective import Effective
from turnout.config.problems import Problem
from turnout.framework import (
    Admitter,
    Classifier,
    DataProducer,
    DataSource,
    DecisionAdmitter,
    DeferralPolicy,
    Diagnosed,
    DispatchGate,
    EndpointDiscovery,
    EndpointWatcher,
    EntryPolicy,
    EvictionFilterPolicy,
    EvictionOrderingPolicy,
    Extractor,
    FairnessPolicy,
    Named,
    OrderingPolicy,
    Parser,
    PreRequest,
    RankedFairnessPolicy,
    RequestRefused,
    ResponseBody,
    ResponseComplete,
    ResponseHeaders,
    Runnable,
    SaturationDetector,
    SaturationListener,
    Scheduler,
    Screener,
    UsageLimitPolicy,
    WallClock,
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
    """The policies of the queue of one priority, and its limits in bytes and in requests."""

    fairness: Named[FairnessPolicy] | Named[RankedFairnessPolicy]
    ordering: Named[OrderingPolicy]
    priority: int = 0
    max_bytes: int = 1_000_000_000
    max_requests: int = 5_000


@dataclass(frozen=True, slots=True)
class LaneSettings:
    """A class of requests and the endpoints that can serve it.

    A request is of the lane if its target model is one of ``models``, its path ends in one of ``paths`` (whole
    segments, without a slash at either end) and it has all ``headers`` (lower-case names) with these values; what is
    empty asks for nothing. An endpoint serves the lane if it has all labels of ``endpoints`` with these values.
    """

    name: str
    models: frozenset[str]
    paths: tuple[str, ...]
    headers: Mapping[str, str]
    endpoints: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class FlowControlSettings:
    """How requests wait. ``None`` for a maximum is no limit, for a time to live no end.

    ``bands`` are the configured priorities; others are made like ``default_negative_band`` below 0 and like
    ``default_band`` from 0 on. ``gates``, ``deferral_policies``, ``entry_policies`` and ``saturation_listeners`` are
    all configured plugins of these interfaces, in the order of the file. The eviction policies are there exactly if
    ``enable_eviction``; ``max_evicted_share`` is of the running requests, in [0, 1]. ``strategy`` is the word of the
    file that chose the ordering policy of bands without one of their own, or empty.
    """

    max_bytes: int | None
    max_requests: int | None
    default_request_ttl: timedelta | None
    no_endpoint_request_ttl: timedelta | None
    default_band: BandSettings
    default_negative_band: BandSettings
    bands: Mapping[int, BandSettings]
    usage_limit: Named[UsageLimitPolicy]
    detector: Named[SaturationDetector]
    gates: tuple[Named[DispatchGate], ...] = ()
    deferral_policies: tuple[Named[DeferralPolicy], ...] = ()
    entry_policies: tuple[Named[EntryPolicy], ...] = ()
    saturation_listeners: tuple[Named[SaturationListener], ...] = ()
    enable_eviction: bool = False
    eviction_order: Named[EvictionOrderingPolicy] | None = None
    eviction_filter: Named[EvictionFilterPolicy] | None = None
    max_evicted_share: float = 1.0
    head_of_line: Literal["strict", "per-lane"] = "strict"
    lanes: tuple[LaneSettings, ...] = ()
    strategy: str = ""


@dataclass(frozen=True)
class Pipeline:
    """Everything a configuration asks for, as plugins ready to be called. Immutable; a reload makes another.

    ``plugins`` holds every plugin by its name and ``origins`` what each was built from, both in the order of the
    file, injected ones last; the tuples keep that order. Producers of one stage do not read each other's keys and
    may run concurrently; a stage reads what earlier stages wrote.

    A pipeline that is loaded with ``previous`` takes over, with its state, each plugin whose name, type and
    parameters (defaults included) are those of the previous one. All other plugins begin empty. Closing the
    sources that only the previous pipeline has is the caller's part.

    ``flow_control`` is None exactly when the feature gate is closed: requests do not wait. The detector is there
    either way, unless no distribution offers one. ``wall_clock`` is the one that its plugins received.
    """

    scheduler: Scheduler
    plugins: Mapping[str, object]
    origins: Mapping[str, Origin]
    classifiers: tuple[Named[Classifier], ...]
    producer_stages: tuple[tuple[Named[DataProducer], ...], ...]
    screeners: tuple[Named[Screener], ...]
    admitters: tuple[Named[Admitter], ...]
    decision_admitters: tuple[Named[DecisionAdmitter], ...]
    pre_request: tuple[Named[PreRequest], ...]
    response_headers: tuple[Named[ResponseHeaders], ...]
    response_body: tuple[Named[ResponseBody], ...]
    response_complete: tuple[Named[ResponseComplete], ...]
    request_refused: tuple[Named[RequestRefused], ...]
    parsers: tuple[Named[Parser], ...]
    sources: tuple[SourceBinding, ...]
    discovery: Named[EndpointDiscovery] | None
    runnables: tuple[Named[Runnable], ...]
    watchers: tuple[Named[EndpointWatcher], ...]
    diagnosed: tuple[Named[Diagnosed], ...]
    feature_gates: Mapping[str, bool]
    detector: Named[SaturationDetector] | None
    flow_control: FlowControlSettings | None
    reads_body: bool
    wall_clock: WallClock
    warnings: tuple[Problem, ...]
    effective: Effective

    @property
    def defers(self) -> bool:
        """Whether requests may be deferred, for hours perhaps."""
        return self.flow_control is not None and bool(self.flow_control.deferral_policies)

    @property
    def reads_response_headers(self) -> bool:
        """Whether the proxy has to send response headers."""
        return bool(self.response_headers)

    @property
    def reads_response_body(self) -> bool:
        """Whether the proxy has to send response bodies: some plugin needs them."""
        return any(getattr(named.plugin, "needs_response_body", True) for named in self.response_body)

    @property
    def reads_first_piece(self) -> bool:
        """Whether the proxy has to send the first piece of response bodies: some plugin needs that."""
        return any(getattr(named.plugin, "needs_first_piece", False) for named in self.response_body)
