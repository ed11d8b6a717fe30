"""The policies of flow control by their references: what the file names, else the defaults."""

from collections.abc import Callable
from typing import TypeAlias, TypeVar, cast

from turnout.config.assembly import Assembly
from turnout.config.catalogue import (
    DEFAULT_DETECTOR,
    DEFAULT_EVICTION_FILTER,
    DEFAULT_EVICTION_ORDER,
    DEFAULT_FLOW_POLICIES,
)
from turnout.config.problems import Path, one_of, shown
from turnout.config.schema import EndpointPickerConfig
from turnout.framework import (
    EvictionFilterPolicy,
    EvictionOrderingPolicy,
    FairnessPolicy,
    Named,
    OrderingPolicy,
    RankedFairnessPolicy,
    SaturationDetector,
)
from turnout.framework.registry import serves

P = TypeVar("P")
Fairness: TypeAlias = Named[FairnessPolicy] | Named[RankedFairnessPolicy]

_DETECTOR: Path = ("flowControl", "saturationDetector", "pluginRef")
_STRATEGY: Path = ("flowControl", "strategy")
_EVICTION: Path = ("flowControl", "enableEviction")


def add_default_policies(assembly: Assembly) -> None:
    """Puts in what the field puts in, whether or not the gate is open."""
    for policy in DEFAULT_FLOW_POLICIES:
        assembly.ensure(policy)


def build_detector(
    assembly: Assembly, config: EndpointPickerConfig, *, required: bool
) -> Named[SaturationDetector] | None:
    """The saturation detector: the one that is named, else the default if it is on offer; it must be if required."""
    path = _DETECTOR
    stated = config.flow_control.saturation_detector if config.flow_control is not None else None
    if config.saturation_detector is not None:
        ignored = " and is ignored beside flowControl.saturationDetector" if stated is not None else ""
        hint = "write flowControl.saturationDetector"
        assembly.report.warn(("saturationDetector",), f"is deprecated{ignored}", hint)
        path = path if stated is not None else ("saturationDetector", "pluginRef")
        stated = stated or config.saturation_detector
    if stated is not None:
        # Only the default may be named without being listed.
        name = stated.plugin_ref
        return assembly.refer_to(SaturationDetector, name, path, create=name == DEFAULT_DETECTOR)
    if not required and assembly.ensure(DEFAULT_DETECTOR, path) is None:
        return None
    found = assembly.refer_to(SaturationDetector, DEFAULT_DETECTOR, path, create=True)
    if found is not None:
        assembly.inject(path[:-1], {"pluginRef": found.name})
    return found


def fairness_policy(assembly: Assembly, name: str, path: Path) -> Fairness | None:
    """The policy of either kind that a reference names; a type on offer need not be listed."""
    found = assembly.refer(name, path, create=True)
    if found is None:
        return None
    if serves(found.plugin, RankedFairnessPolicy):
        return Named(cast("RankedFairnessPolicy", found.plugin), name)
    if serves(found.plugin, FairnessPolicy):
        return Named(cast("FairnessPolicy", found.plugin), name)
    either = (*assembly.serving(FairnessPolicy), *assembly.serving(RankedFairnessPolicy))
    hint = one_of(None, {named.name for named in either})
    assembly.report.problem(path, f"plugin {shown(name)} is no FairnessPolicy or RankedFairnessPolicy", hint)
    return None


def strategy_policy(assembly: Assembly, strategy: str) -> Named[OrderingPolicy] | None:
    """The ordering policy of a strategy: the plugin of that name, else the listed one of that type, else a new one."""
    plugin_type = f"{strategy}-ordering-policy"
    if assembly.lacks(plugin_type):
        return None
    listed = [instance.name for instance in assembly.instances.values() if instance.origin.type == plugin_type]
    if plugin_type in assembly.instances or not listed:
        listed = [plugin_type]
    if len(listed) > 1:
        message = f"there are {len(listed)} plugins of type {plugin_type}: {', '.join(listed)}"
        assembly.report.problem(_STRATEGY, message, f"name one of them {plugin_type}")
        return None
    if listed[0] not in assembly.instances and not assembly.is_offered(plugin_type):
        message = f"there is no plugin type {plugin_type}"
        assembly.report.problem(_STRATEGY, message, "install a distribution that offers it, or remove it")
        return None
    return assembly.refer_to(OrderingPolicy, listed[0], _STRATEGY, create=True)


def eviction_policies(
    assembly: Assembly,
) -> tuple[Named[EvictionOrderingPolicy] | None, Named[EvictionFilterPolicy] | None]:
    """Which running requests are evicted first, and which at all: by the plugins that say so, else by the defaults."""
    order = _only(assembly, EvictionOrderingPolicy, DEFAULT_EVICTION_ORDER)
    return order, _only(assembly, EvictionFilterPolicy, DEFAULT_EVICTION_FILTER)


def _only(assembly: Assembly, interface: Callable[..., P], default: str) -> Named[P] | None:
    found = assembly.serving(interface)
    for extra in found[1:]:
        kind = cast("type", interface).__name__
        message = f"a second {kind} beside {shown(found[0].name)}"
        assembly.report.problem(assembly.instances[extra.name].place, message, "exactly one with enableEviction")
    return found[0] if found else assembly.refer_to(interface, default, _EVICTION, create=True)
