"""Scheduling profiles, their pickers and the profile handler."""

from collections.abc import Collection
from dataclasses import dataclass, field

from turnout.config.assembly import Assembly, Instance
from turnout.config.catalogue import DEFAULT_PICKER, SINGLE_PROFILE_HANDLER
from turnout.config.document import Value
from turnout.config.problems import Path, one_of, shown
from turnout.config.schema import EndpointPickerConfig, Profile, ProfilePlugin
from turnout.config.shape import REPAIRED
from turnout.framework import (
    Filter,
    Named,
    Picker,
    ProfileHandler,
    Scheduler,
    SchedulerProfile,
    Scorer,
    WeightedScorer,
)
from turnout.framework.registry import serves

DEFAULT_PROFILE = "default"


@dataclass(slots=True)
class _Parts:
    """What the entries of one profile amount to."""

    filters: list[Named[Filter]] = field(default_factory=list)
    scorers: list[WeightedScorer] = field(default_factory=list)
    picker: Named[Picker] | None = None


def build_scheduler(assembly: Assembly, config: EndpointPickerConfig) -> Scheduler | None:
    """The scheduler, or None after reporting why there is none."""
    listed = config.scheduling_profiles or [_default_profile(assembly)]
    handler = _handler(assembly, listed)
    profiles: dict[str, SchedulerProfile | None] = {}
    for position, profile in enumerate(listed):
        path: Path = ("schedulingProfiles", position)
        if profile.name in profiles and profile.name != REPAIRED:
            message = f"duplicate profile name {shown(profile.name)}"
            assembly.report.problem((*path, "name"), message, "each name is used once")
        profiles[profile.name] = _profile(assembly, profile, path)
    built = [profile for profile in profiles.values() if profile is not None]
    if handler is None or len(built) != len(listed):
        return None
    _check_names(assembly, handler, profiles)
    return Scheduler(built, handler)


def _check_names(assembly: Assembly, handler: Named[ProfileHandler], profiles: Collection[str]) -> None:
    """Reports profiles that the handler will ask for and that do not exist; it need not say which it will."""
    for name in getattr(handler.plugin, "profile_names", ()):
        if name not in profiles and REPAIRED not in profiles:
            message = f"plugin {shown(handler.name)} runs the profile {shown(name)}, which does not exist"
            assembly.report.problem(assembly.instances[handler.name].place, message, one_of(name, profiles))


def _default_profile(assembly: Assembly) -> Profile:
    """All configured filters, scorers and pickers, in the order of the file."""
    names = [
        instance.name
        for instance in assembly.instances.values()
        if any(serves(instance.plugin, role) for role in (Filter, Scorer, Picker))
    ]
    entries: list[Value] = [{"pluginRef": name} for name in names]
    assembly.inject(("schedulingProfiles",), [{"name": DEFAULT_PROFILE, "plugins": entries}])
    return Profile(name=DEFAULT_PROFILE, plugins=[ProfilePlugin.model_validate({"pluginRef": name}) for name in names])


def _handler(assembly: Assembly, profiles: list[Profile]) -> Named[ProfileHandler] | None:
    handlers = assembly.serving(ProfileHandler)
    if not handlers and len(profiles) == 1:
        assembly.ensure(SINGLE_PROFILE_HANDLER)
        handlers = assembly.serving(ProfileHandler)
    if not handlers and assembly.lacks("profile-handler"):
        return None
    if not handlers:
        hint = "accepted: one plugin that is a ProfileHandler"
        assembly.report.problem(("plugins",), "there is no profile handler", hint)
        return None
    for extra in handlers[1:]:
        path = assembly.instances[extra.name].place
        assembly.report.problem(path, f"a second profile handler beside {shown(handlers[0].name)}", "exactly one")
    chosen = assembly.instances[handlers[0].name]
    if chosen.origin.type == SINGLE_PROFILE_HANDLER and len(profiles) > 1:
        message = f"{SINGLE_PROFILE_HANDLER} runs exactly one profile; there are {len(profiles)}"
        assembly.report.problem(chosen.place, message, "another profile handler, or one profile")
    return handlers[0]


def _profile(assembly: Assembly, profile: Profile, path: Path) -> SchedulerProfile | None:
    parts = _Parts()
    for position, entry in enumerate(profile.plugins):
        place: Path = (*path, "plugins", position)
        instance = assembly.refer(entry.plugin_ref, (*place, "pluginRef"))
        if instance is not None:
            _place(assembly, instance, entry, place, parts)
    picker = parts.picker or _default_picker(assembly, (*path, "plugins", len(profile.plugins)))
    if picker is None:
        return None
    return SchedulerProfile(profile.name, picker, tuple(parts.filters), tuple(parts.scorers))


def _place(assembly: Assembly, instance: Instance, entry: ProfilePlugin, path: Path, parts: _Parts) -> None:
    plugin, name = instance.plugin, instance.name
    optional = entry.on_error == "skip"
    if isinstance(plugin, Filter):
        parts.filters.append(Named(plugin, name, optional))
    if isinstance(plugin, Scorer):
        scorer: Named[Scorer] = Named(plugin, name, optional)
        parts.scorers.append(WeightedScorer(scorer, _weight(assembly, entry, path)))
    if serves(plugin, Picker) and isinstance(plugin, Picker):
        if parts.picker is not None:
            hint = "exactly one picker in a profile"
            assembly.report.problem(path, f"a second picker beside {shown(parts.picker.name)}", hint)
        parts.picker = parts.picker or Named(plugin, name)
    _check_options(assembly, instance, entry, path)


def _weight(assembly: Assembly, entry: ProfilePlugin, path: Path) -> float:
    if entry.weight is None:
        assembly.inject((*path, "weight"), 1.0)
        return 1.0
    return entry.weight


def _check_options(assembly: Assembly, instance: Instance, entry: ProfilePlugin, path: Path) -> None:
    plugin, name = instance.plugin, shown(instance.name)
    if not any(serves(plugin, role) for role in (Filter, Scorer, Picker)):
        assembly.report.warn(path, f"plugin {name} is no filter, scorer or picker, and has no effect in a profile")
    if entry.weight is not None and not serves(plugin, Scorer):
        assembly.report.warn((*path, "weight"), f"plugin {name} is no scorer; its weight is ignored")
    if entry.on_error is not None and not (serves(plugin, Filter) or serves(plugin, Scorer)):
        assembly.report.problem((*path, "onError"), f"plugin {name} is no filter or scorer", "remove it")


def _default_picker(assembly: Assembly, path: Path) -> Named[Picker] | None:
    """The first picker of the file, or one that is injected; shown as the profile's last entry."""
    pickers = assembly.serving(Picker)
    if not pickers:
        assembly.ensure(DEFAULT_PICKER)
        pickers = assembly.serving(Picker)
    if not pickers and assembly.lacks("picker"):
        return None
    if not pickers:
        assembly.report.problem(path[:-1], "the profile has no picker", "accepted: one plugin that is a Picker")
        return None
    profile = assembly.config["schedulingProfiles"][path[1]]  # type: ignore[index]
    profile.setdefault("plugins", [])  # type: ignore[union-attr]
    assembly.inject(path, {"pluginRef": pickers[0].name})
    return pickers[0]
