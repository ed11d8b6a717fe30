"""The plugins of a configuration while they are put together: built, looked up by name, injected where missing."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar, cast

from turnout.config.catalogue import IGNORES_PARAMETERS, KNOWN_TYPES
from turnout.config.document import Value
from turnout.config.parameters import Parameters, UnreadableParametersError, names_in, parameters_of
from turnout.config.pipeline import Origin, Pipeline
from turnout.config.problems import Path, Report, one_of, shown
from turnout.config.schema import PluginSpec
from turnout.config.shape import REPAIRED
from turnout.config.spellings import as_spelled
from turnout.framework import (
    ExtensionPoint,
    Named,
    PluginLoadError,
    Registry,
    SchedulingError,
    WallClock,
    plugin_boundary,
)
from turnout.framework.registry import PluginType, serves, signature_problems

P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Instance:
    """A plugin under its name. ``path`` is its entry in the effective configuration."""

    name: str
    plugin: object
    origin: Origin
    path: Path
    injected: bool

    @property
    def place(self) -> Path:
        """Where a problem with the plugin is shown: its entry, or the list that lacks one."""
        return self.path[:1] if self.injected else self.path


class Assembly:
    """Plugins by name, and the configuration with what was injected. Lives as long as one load."""

    def __init__(
        self,
        data: dict[str, Value],
        registry: Registry,
        report: Report,
        previous: Pipeline | None,
        wall_clock: WallClock,
    ) -> None:
        self.config = data
        self.injected: set[Path] = set()
        self.report = report
        self.wall_clock = wall_clock
        self.instances: dict[str, Instance] = {}
        self._broken: dict[str, str] = {}
        self._registry = registry
        self._offered = frozenset(registry.names())
        self._previous = previous

    def add(self, spec: PluginSpec, position: int) -> None:
        """Builds the plugin of one entry of ``plugins``, or reports why it cannot be."""
        path: Path = ("plugins", position)
        name = spec.name or spec.type
        if REPAIRED in (name, spec.type):
            self._broken.setdefault(name, spec.type)
            return
        if name in self.instances or name in self._broken:
            self.report.problem((*path, "name"), f"duplicate plugin name {shown(name)}", "each name is used once")
            return
        entry = self.config["plugins"][position]  # type: ignore[index]
        self._build(name, spec.type, cast("dict[str, Value]", entry), path, None)

    def ensure(self, name: str, named_at: Path | None = None) -> Instance | None:
        """The plugin of this name; if there is none and the name is a type on offer, one that is injected.

        What keeps it from being built is reported at ``named_at``, the place that asks for it.
        """
        if name not in self.instances and name not in self._broken and name in self._offered:
            entries = cast("list[Value]", self.config.setdefault("plugins", []))
            entry: dict[str, Value] = {"type": name}
            entries.append(entry)
            path: Path = ("plugins", len(entries) - 1)
            self.injected.add(path)
            self._build(name, name, entry, path, named_at or ("plugins",))
        return self.instances.get(name)

    def refer(self, name: str, path: Path, *, create: bool = False) -> Instance | None:
        """The plugin that a reference names, or None after reporting that there is none.

        With ``create`` a name that is a type on offer makes a plugin.
        """
        if create:
            self.ensure(name, path)
        if name == REPAIRED or name in self._broken or name in self.instances:
            return self.instances.get(name)
        if create and name in KNOWN_TYPES:
            self.report.problem(path, *self._not_offered(name))
        else:
            listed = [instance.name for instance in self.instances.values() if not instance.injected]
            known = {*listed, *(plugin for plugin in self._broken if plugin != REPAIRED)}
            hint = one_of(name, known, self._offered if create else ())
            self.report.problem(path, f"{shown(name)} names no entry of plugins", hint)
        return None

    def refer_to(self, interface: Callable[..., P], name: str, path: Path, *, create: bool = False) -> Named[P] | None:
        """The plugin that a reference names, if it serves the interface; otherwise None after reporting it."""
        found = self.refer(name, path, create=create)
        if found is None:
            return None
        if not serves(found.plugin, cast("type", interface)):
            candidates = [instance.name for instance in self.serving(interface)]
            message = f"plugin {shown(name)} is no {cast('type', interface).__name__}"
            self.report.problem(path, message, one_of(None, candidates))
            return None
        return Named(cast("P", found.plugin), name)

    def serving(self, interface: Callable[..., P]) -> tuple[Named[P], ...]:
        """Every plugin that serves the interface, in the order of the file."""
        return tuple(
            Named(cast("P", instance.plugin), instance.name)
            for instance in self.instances.values()
            if serves(instance.plugin, cast("type", interface))
        )

    def lacks(self, name_or_suffix: str) -> bool:
        """Whether a plugin of this name, or of a type with this ending, is listed and could not be built."""
        return name_or_suffix in self._broken or any(kind.endswith(name_or_suffix) for kind in self._broken.values())

    def of_type(self, plugin_type: str) -> Instance | None:
        """The first plugin of a type, whatever its name."""
        found = (instance for instance in self.instances.values() if instance.origin.type == plugin_type)
        return next(found, None)

    def is_offered(self, plugin_type: str) -> bool:
        """Whether some distribution offers the type."""
        return plugin_type in self._offered

    def inject(self, path: Path, value: Value) -> None:
        """Puts a default into the effective configuration; mappings on the way are made."""
        place: Value = self.config
        for depth, step in enumerate(path[:-1], 1):
            if isinstance(place, dict) and step not in place:
                place[str(step)] = {}
                self.injected.add(path[:depth])
            place = place[step]  # type: ignore[index]
        if isinstance(place, list):
            place.append(value)
        elif isinstance(place, dict):
            place[str(path[-1])] = value
        self.injected.add(path)

    def _build(self, name: str, plugin_type: str, entry: dict[str, Value], path: Path, named_at: Path | None) -> None:
        """Builds the plugin of an entry. One that is injected has ``named_at``, where its problems are shown."""
        instance = self._instance(name, plugin_type, entry, path, named_at)
        problems = signature_problems(instance.plugin) if instance is not None else []
        for problem in problems:
            self.report.problem(named_at or (*path, "type"), f"plugin {shown(name)}: {problem}")
        if instance is None or problems:
            self._broken[name] = plugin_type
        else:
            self.instances[name] = instance

    def _instance(
        self, name: str, plugin_type: str, entry: dict[str, Value], path: Path, named_at: Path | None
    ) -> Instance | None:
        type_place, parameters_place = named_at or (*path, "type"), named_at or (*path, "parameters")
        factory = self._factory(plugin_type, type_place)
        parameters = self._parameters(factory, type_place) if factory is not None else None
        if factory is None or parameters is None:
            return None
        given = self._given(plugin_type, entry, parameters, path)
        arguments = parameters.arguments(given, name, self.wall_clock, self.report, parameters_place)
        if arguments is None:
            return None
        origin = Origin(plugin_type, factory, arguments)
        plugin = self._reused(name, origin) or self._constructed(origin, parameters_place)
        if plugin is None:
            return None
        self._show_defaults(entry, name, parameters.spelled(arguments), path)
        return Instance(name, plugin, origin, path, named_at is not None)

    def _factory(self, plugin_type: str, place: Path) -> PluginType | None:
        if plugin_type not in self._offered:
            self.report.problem(place, *self._not_offered(plugin_type))
            return None
        try:
            return self._registry.load(plugin_type)
        except PluginLoadError as error:
            self.report.problem(place, str(error))
            return None

    def _not_offered(self, plugin_type: str) -> tuple[str, str]:
        if plugin_type in KNOWN_TYPES:
            message = f"{shown(plugin_type)} is a known type of the field, not offered by any installed plugin"
            return message, "install a distribution that offers it, or remove it"
        return f"unknown plugin type {shown(plugin_type)}", one_of(plugin_type, self._offered)

    def _parameters(self, factory: PluginType, place: Path) -> Parameters | None:
        try:
            return parameters_of(factory)
        except UnreadableParametersError as error:
            self.report.problem(place, str(error))
            return None

    def _given(self, plugin_type: str, entry: dict[str, Value], parameters: Parameters, path: Path) -> Value:
        given = entry.get("parameters")
        if given and plugin_type in IGNORES_PARAMETERS and not parameters.names:
            self.report.warn((*path, "parameters"), f"parameters of {plugin_type} are ignored", "remove them")
            return None
        return given

    def _reused(self, name: str, origin: Origin) -> object | None:
        if self._previous is None or self._previous.origins.get(name) != origin:
            return None
        return self._previous.plugins[name]

    def _constructed(self, origin: Origin, place: Path) -> object | None:
        try:
            # A constructor may raise anything.
            with plugin_boundary(origin.type, ExtensionPoint.IMPORT):
                return origin.factory(**origin.arguments)
        except SchedulingError as error:
            cause = error.__cause__ or error
            text = f"the constructor failed: {type(cause).__name__}: {cause}"
            if isinstance(cause, ValueError):
                text = as_spelled(str(cause), names_in(origin.arguments))
            self.report.problem(place, text)
            return None

    def _show_defaults(self, entry: dict[str, Value], name: str, effective: dict[str, Value], path: Path) -> None:
        if not entry.get("name"):
            self.inject((*path, "name"), name)
        given = entry.pop("parameters", None)
        if given is not None:
            entry["parameters"] = given
        for place, value in list(_added(given or {}, effective)):
            self.inject((*path, "parameters", *place), value)


def _added(given: Value, effective: Value) -> Iterator[tuple[Path, Value]]:
    """What the effective value has and the given one lacks, with its place; names are the same in any case."""
    if isinstance(given, dict) and isinstance(effective, dict):
        spelled = {key.casefold(): key for key in given}
        for name, value in effective.items():
            key = spelled.get(name.casefold())
            if key is None:
                yield (name,), value
            else:
                yield from (((key, *place), added) for place, added in _added(given[key], value))
    elif isinstance(given, list) and isinstance(effective, list):
        for position, (one, other) in enumerate(zip(given, effective, strict=False)):
            yield from (((position, *place), added) for place, added in _added(one, other))
