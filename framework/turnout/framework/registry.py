"""Finds plugin types by the names their distributions give them, and tells what an object can do."""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol

from turnout.framework import flow_control, interfaces
from turnout.framework.errors import ExtensionPoint, PluginError, PluginLoadError
from turnout.framework.profile import plugin_boundary

ENTRY_POINT_GROUP = "turnout.plugins"

# How an object shows that it serves an interface: it has all of these methods.
_DISTINCTIVE: dict[type, tuple[str, ...]] = {
    interfaces.ProfileHandler: ("pick", "process_results"),
    interfaces.Filter: ("filter",),
    interfaces.Scorer: ("score",),
    interfaces.Picker: ("pick",),
    interfaces.Classifier: ("classify",),
    interfaces.DataProducer: ("produce",),
    interfaces.Screener: ("screen",),
    interfaces.Admitter: ("admit",),
    interfaces.DecisionAdmitter: ("admit_decision",),
    interfaces.PreRequest: ("pre_request",),
    interfaces.ResponseHeaders: ("response_headers",),
    interfaces.ResponseBody: ("response_body",),
    interfaces.ResponseComplete: ("response_complete",),
    interfaces.RequestRefused: ("request_refused",),
    interfaces.Parser: ("parse", "rewrite_model", "usage"),
    flow_control.OrderingPolicy: ("rank",),
    flow_control.ExplainedOrdering: ("reason",),
    flow_control.EffectivePriorityPolicy: ("effective_priority",),
    flow_control.FairnessPolicy: ("choose",),
    flow_control.RankedFairnessPolicy: ("flow_rank",),
    flow_control.DispatchAccounting: ("request_dispatched",),
    flow_control.AdaptivePolicy: ("adapt",),
    flow_control.SaturationDetector: ("saturation",),
    flow_control.SaturationListener: ("saturation_observed",),
    flow_control.UsageLimitPolicy: ("ceilings",),
    flow_control.DispatchGate: ("fits",),
    flow_control.DeferralPolicy: ("deferral",),
    flow_control.EntryPolicy: ("entry_refusal",),
    flow_control.EvictionOrderingPolicy: ("eviction_rank",),
    flow_control.EvictionFilterPolicy: ("evictable",),
    interfaces.EndpointDiscovery: ("discover",),
    interfaces.DataSource: ("fetch",),
    interfaces.Extractor: ("extract",),
    interfaces.EndpointWatcher: ("endpoints_changed",),
    interfaces.Diagnosed: ("diagnose",),
    interfaces.Runnable: ("run",),
}


class PluginType(Protocol):
    """A plugin's class, or any callable that builds the plugin from keyword parameters."""

    def __call__(self, *args: object, **parameters: object) -> object: ...


@dataclass(frozen=True, slots=True)
class Registry:
    """Plugin types by name. Nothing is imported before it is asked for."""

    _entries: dict[str, tuple[EntryPoint, ...]]

    @classmethod
    def from_entry_points(cls, found: Iterable[EntryPoint] | None = None) -> "Registry":
        """Every type that installed distributions offer in the group ``turnout.plugins``."""
        entries: dict[str, tuple[EntryPoint, ...]] = {}
        for entry in entry_points(group=ENTRY_POINT_GROUP) if found is None else found:
            entries[entry.name] = (*entries.get(entry.name, ()), entry)
        return cls(entries)

    def names(self) -> list[str]:
        """All offered type names, sorted."""
        return sorted(self._entries)

    def load(self, plugin_type: str) -> PluginType:
        """Imports the class behind a type name.

        Raises:
            PluginLoadError: no distribution offers it, two do, or its import fails.
        """
        candidates = self._entries.get(plugin_type, ())
        if not candidates:
            raise PluginLoadError(plugin_type, "no installed distribution offers it")
        # One distribution may be found twice, in a checkout and installed; that offers one class.
        if len({entry.value for entry in candidates}) > 1:
            offers = ", ".join(sorted(f"{entry.value} of {_distribution(entry)}" for entry in candidates))
            raise PluginLoadError(plugin_type, f"offered more than once: {offers}")
        return _import(plugin_type, candidates[0])


def _import(plugin_type: str, entry: EntryPoint) -> PluginType:
    try:
        # A module may raise anything while it is imported.
        with plugin_boundary(plugin_type, ExtensionPoint.IMPORT):
            loaded = entry.load()
    except PluginError as error:
        problem = f"cannot import {entry.value} of {_distribution(entry)}: {error.problem}"
        raise PluginLoadError(plugin_type, problem) from error.__cause__
    if not callable(loaded):
        raise PluginLoadError(plugin_type, f"{entry.value} of {_distribution(entry)} is not callable")
    plugin: PluginType = loaded
    return plugin


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else "an unknown distribution"


def serves(plugin: object, interface: type) -> bool:
    """Whether the object has every method that marks the interface."""
    has_all = all(callable(getattr(plugin, name, None)) for name in _DISTINCTIVE[interface])
    if interface is interfaces.Picker:
        return has_all and not serves(plugin, interfaces.ProfileHandler)
    return has_all


def interfaces_of(plugin: object) -> tuple[type, ...]:
    """All extension points that the object serves, in the order of their declaration."""
    return tuple(interface for interface in _DISTINCTIVE if serves(plugin, interface))


def signature_problems(plugin: object) -> list[str]:
    """One sentence for each member of an extension point that is missing, takes other parameters, or must be async."""
    problems = []
    for interface in interfaces_of(plugin):
        for name, declared in vars(interface).items():
            if name.startswith("_"):
                continue
            if not hasattr(plugin, name):
                problems.append(f"a {interface.__name__} must have {name!r}")
            elif callable(declared):
                problems += _method_problems(getattr(plugin, name), declared, name, interface)
    return problems


def _method_problems(
    method: Callable[..., object], declared: Callable[..., object], name: str, interface: type
) -> list[str]:
    expected = list(inspect.signature(declared).parameters)[1:]
    problems = []
    try:
        inspect.signature(method).bind(*expected)
    except TypeError as error:
        problems.append(f"{name}() of a {interface.__name__} takes ({', '.join(expected)}): {error}")
    if inspect.iscoroutinefunction(declared) != inspect.iscoroutinefunction(method):
        wanted = "async" if inspect.iscoroutinefunction(declared) else "a plain function"
        problems.append(f"{name}() of a {interface.__name__} must be {wanted}")
    return problems
