"""The settings of flow control, checked and with every default."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from types import MappingProxyType
from typing import Literal

from turnout.config.assembly import Assembly
from turnout.config.catalogue import DEFAULT_FAIRNESS, DEFAULT_ORDERING
from turnout.config.document import Value
from turnout.config.flow_policies import Fairness, eviction_policies, fairness_policy, strategy_policy
from turnout.config.lanes import build_lanes
from turnout.config.pipeline import BandSettings, FlowControlSettings
from turnout.config.problems import Path, shown
from turnout.config.schema import NO_BAND, NO_FLOW_CONTROL, OWN_VERSION, Band, EndpointPickerConfig, FlowControl
from turnout.config.spellings import format_duration
from turnout.framework import (
    DeferralPolicy,
    DispatchGate,
    EntryPolicy,
    Named,
    OrderingPolicy,
    SaturationDetector,
    SaturationListener,
    UsageLimitPolicy,
)
from turnout.framework.registry import interfaces_of

DEFAULT_TTL = timedelta(seconds=60)

_SECTION: Path = ("flowControl",)
_TEMPLATE: Path = (*_SECTION, "defaultPriorityBand")
_NEGATIVE_TEMPLATE: Path = (*_SECTION, "defaultNegativePriorityBand")
_HEADS: Mapping[str, Literal["strict", "per-lane"]] = {"strict": "strict", "perLane": "per-lane"}
_IDLE_WITHOUT_GATE = frozenset((DispatchGate, EntryPolicy))


@dataclass(frozen=True, slots=True)
class _Policies:
    """What a band without references of its own uses; None after reporting why there is none."""

    fairness: Fairness | None
    ordering: Named[OrderingPolicy] | None


def ignore_section(assembly: Assembly, config: EndpointPickerConfig) -> None:
    """With the gate closed: reports what has no effect, and what is wrong with the section in itself."""
    for instance in assembly.instances.values():
        served = set(interfaces_of(instance.plugin))
        if DeferralPolicy in served:
            # Its requests would go at once, at the time that they were to avoid.
            message = f"plugin {shown(instance.name)} defers requests, and feature gate flowControl is off"
            assembly.report.problem(instance.place, message, "open the gate, or remove the plugin")
        if served and served <= _IDLE_WITHOUT_GATE:
            message = f"plugin {shown(instance.name)} has no effect: feature gate flowControl is off"
            assembly.report.warn(instance.place, message, "open the gate, or remove the plugin")
    section = config.flow_control
    if section is None:
        return
    _check_bands(assembly, section)
    build_lanes(assembly, section)
    if section.model_fields_set - {"saturation_detector"}:
        message = "is ignored: feature gate flowControl is off"
        assembly.report.warn(_SECTION, message, "only saturationDetector takes effect")


def build_flow_control(
    assembly: Assembly, config: EndpointPickerConfig, detector: Named[SaturationDetector] | None
) -> FlowControlSettings | None:
    """With the gate open: the settings as ``with_listed`` completes them, or None after reporting a problem."""
    section = config.flow_control or NO_FLOW_CONTROL
    _check_bands(assembly, section)
    _warn_without_effect(assembly, section)
    settings = _settings(assembly, section, detector)
    if settings is not None and not assembly.report.problems:
        _show_defaults(assembly, section, settings, own=config.api_version == OWN_VERSION)
    return settings


def with_listed(assembly: Assembly, settings: FlowControlSettings | None) -> FlowControlSettings | None:
    """The settings with every gate, listener, deferral and entry policy among the plugins, once all are there."""
    if settings is None:
        return None
    return replace(
        settings,
        gates=assembly.serving(DispatchGate),
        deferral_policies=assembly.serving(DeferralPolicy),
        entry_policies=assembly.serving(EntryPolicy),
        saturation_listeners=assembly.serving(SaturationListener),
    )


def _settings(
    assembly: Assembly, section: FlowControl, detector: Named[SaturationDetector] | None
) -> FlowControlSettings | None:
    policies = _policies(assembly, section)
    default = negative = _band(assembly, section.default_priority_band, _TEMPLATE, policies)
    if section.default_negative_priority_band is not None:
        negative = _band(assembly, section.default_negative_priority_band, _NEGATIVE_TEMPLATE, policies)
    bands = _bands(assembly, section, policies)
    path: Path = (*_SECTION, "usageLimitPolicyPluginRef")
    usage_limit = assembly.refer_to(UsageLimitPolicy, section.usage_limit_policy, path, create=True)
    order, evictable = eviction_policies(assembly) if section.enable_eviction else (None, None)
    lanes = build_lanes(assembly, section)
    if default is None or negative is None or usage_limit is None or detector is None:
        return None
    ttl, idle_ttl = _times_to_live(section)
    return FlowControlSettings(
        max_bytes=section.max_bytes or None,
        max_requests=section.max_requests or None,
        default_request_ttl=ttl,
        no_endpoint_request_ttl=idle_ttl,
        default_band=default,
        default_negative_band=negative,
        bands=bands,
        usage_limit=usage_limit,
        detector=detector,
        enable_eviction=section.enable_eviction,
        eviction_order=order,
        eviction_filter=evictable,
        max_evicted_share=section.max_evicted_share,
        head_of_line=_HEADS[section.head_of_line],
        lanes=lanes,
        strategy=section.strategy or "",
    )


def _times_to_live(section: FlowControl) -> tuple[timedelta | None, timedelta | None]:
    """With endpoints and without; the second follows the first."""
    stated, idle = section.default_request_ttl, section.no_endpoint_request_ttl
    ttl = DEFAULT_TTL if stated is None else stated or None
    return ttl, ttl if idle is None else idle or None


def _policies(assembly: Assembly, section: FlowControl) -> _Policies:
    fairness = fairness_policy(assembly, DEFAULT_FAIRNESS, (*_TEMPLATE, "fairnessPolicyRef"))
    if section.strategy is not None:
        return _Policies(fairness, strategy_policy(assembly, section.strategy))
    path: Path = (*_TEMPLATE, "orderingPolicyRef")
    return _Policies(fairness, assembly.refer_to(OrderingPolicy, DEFAULT_ORDERING, path, create=True))


def _bands(assembly: Assembly, section: FlowControl, policies: _Policies) -> Mapping[int, BandSettings]:
    bands: dict[int, BandSettings] = {}
    for position, listed in enumerate(section.priority_bands):
        band = _band(assembly, listed, (*_SECTION, "priorityBands", position), policies)
        if band is not None:
            bands[band.priority] = band
    return MappingProxyType(bands)


def _band(assembly: Assembly, band: Band | None, path: Path, policies: _Policies) -> BandSettings | None:
    fairness, ordering = policies.fairness, policies.ordering
    band = band or NO_BAND
    if "fairness_policy" in band.model_fields_set:
        fairness = fairness_policy(assembly, band.fairness_policy, (*path, "fairnessPolicyRef"))
    if "ordering_policy" in band.model_fields_set:
        place: Path = (*path, "orderingPolicyRef")
        ordering = assembly.refer_to(OrderingPolicy, band.ordering_policy, place, create=True)
    if fairness is None or ordering is None:
        return None
    made = BandSettings(fairness, ordering, band.priority)
    max_bytes, max_requests = band.max_bytes or made.max_bytes, band.max_requests or made.max_requests
    return replace(made, max_bytes=max_bytes, max_requests=max_requests)


def _check_bands(assembly: Assembly, section: FlowControl) -> None:
    seen: dict[int, int] = {}
    for position, band in enumerate(section.priority_bands):
        path: Path = (*_SECTION, "priorityBands", position)
        if assembly.report.has_within((*path, "priority")):
            continue
        first = seen.setdefault(band.priority, position)
        if first != position:
            message = f"duplicate priority {band.priority}, first in priorityBands[{first}]"
            assembly.report.problem(path, message, "each priority has one band")


def _warn_without_effect(assembly: Assembly, section: FlowControl) -> None:
    if section.lanes and section.head_of_line == "strict":
        assembly.report.warn((*_SECTION, "lanes"), "has no effect", "write headOfLine: perLane")
    if "max_evicted_share" in section.model_fields_set and not section.enable_eviction:
        assembly.report.warn((*_SECTION, "maxEvictedShare"), "has no effect", "write enableEviction: true")


# --- what takes effect, for those who print it -----------------------------------------------------------


def _show_defaults(assembly: Assembly, section: FlowControl, settings: FlowControlSettings, *, own: bool) -> None:
    _show(assembly, _SECTION, _in_effect(section, settings, own=own))
    _show(assembly, _TEMPLATE, _band_in_effect(settings.default_band))
    if section.default_negative_priority_band is not None:
        _show(assembly, _NEGATIVE_TEMPLATE, _band_in_effect(settings.default_negative_band))
    for position, band in enumerate(section.priority_bands):
        path: Path = (*_SECTION, "priorityBands", position)
        _show(assembly, path, {"priority": band.priority, **_band_in_effect(settings.bands[band.priority])})


def _in_effect(section: FlowControl, settings: FlowControlSettings, *, own: bool) -> dict[str, Value]:
    values: dict[str, Value] = {
        "maxBytes": section.max_bytes,
        "maxRequests": section.max_requests,
        "defaultRequestTTL": format_duration(settings.default_request_ttl or timedelta(0)),
        "noEndpointRequestTTL": format_duration(settings.no_endpoint_request_ttl or timedelta(0)),
        "usageLimitPolicyPluginRef": settings.usage_limit.name,
        "enableEviction": settings.enable_eviction,
    }
    if own:
        values["headOfLine"] = section.head_of_line
    if own and settings.enable_eviction:
        values["maxEvictedShare"] = settings.max_evicted_share
    return values


def _band_in_effect(band: BandSettings) -> dict[str, Value]:
    return {
        "maxBytes": band.max_bytes,
        "maxRequests": band.max_requests,
        "fairnessPolicyRef": band.fairness.name,
        "orderingPolicyRef": band.ordering.name,
    }


def _show(assembly: Assembly, path: Path, values: Mapping[str, Value]) -> None:
    """Puts the values into the effective configuration where the file has none."""
    place: Value = assembly.config
    for step in path:
        place = place[step] if not isinstance(place, dict) or step in place else {}  # type: ignore[index]
    for key, value in values.items():
        if isinstance(place, dict) and key not in place:
            assembly.inject((*path, key), value)
