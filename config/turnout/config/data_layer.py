"""Sources, extractors, discovery, and the parsers of request bodies."""

from turnout.config.assembly import Assembly
from turnout.config.catalogue import DEFAULT_EXTRACTOR, DEFAULT_PARSERS, DEFAULT_SOURCE, NOTIFICATION_SOURCE
from turnout.config.pipeline import SourceBinding
from turnout.config.problems import Path, shown
from turnout.config.schema import DataLayer, EndpointPickerConfig, SourceRef
from turnout.framework import DataSource, EndpointDiscovery, EndpointWatcher, Extractor, Named, Parser
from turnout.framework.registry import serves


def build_sources(assembly: Assembly, layer: DataLayer) -> tuple[SourceBinding, ...]:
    """The sources in the order of the file, and the default one at the end unless it is there or unwanted."""
    bindings: dict[str, SourceBinding] = {}
    for position, listed in enumerate(layer.sources):
        path: Path = ("dataLayer", "sources", position)
        if _is_notification_source(assembly, listed.plugin_ref):
            _check_watchers(assembly, listed, path)
            continue
        source = assembly.refer_to(DataSource, listed.plugin_ref, (*path, "pluginRef"))
        extractors = _extractors(assembly, listed, path)
        if source is not None and source.name in bindings:
            hint = "list all its extractors in one entry"
            assembly.report.problem((*path, "pluginRef"), f"the source {shown(source.name)} is listed twice", hint)
        elif source is not None:
            bindings[source.name] = SourceBinding(source, extractors)
    if layer.inject_defaults and not any(_is_metrics_source(assembly, name) for name in bindings):
        _inject_source(assembly, bindings, len(layer.sources))
    return tuple(bindings.values())


def _extractors(assembly: Assembly, listed: SourceRef, path: Path) -> tuple[Named[Extractor], ...]:
    found = [
        assembly.refer_to(Extractor, extractor.plugin_ref, (*path, "extractors", position, "pluginRef"))
        for position, extractor in enumerate(listed.extractors)
    ]
    return tuple(extractor for extractor in found if extractor is not None)


def _is_notification_source(assembly: Assembly, name: str) -> bool:
    instance = assembly.instances.get(name)
    return instance is not None and instance.origin.type == NOTIFICATION_SOURCE


def _check_watchers(assembly: Assembly, listed: SourceRef, path: Path) -> None:
    """The field lists who wants to hear of endpoints; here every watcher does, so the list is only checked."""
    for position, extractor in enumerate(listed.extractors):
        assembly.refer_to(EndpointWatcher, extractor.plugin_ref, (*path, "extractors", position, "pluginRef"))


def _is_metrics_source(assembly: Assembly, name: str) -> bool:
    return assembly.instances[name].origin.type == DEFAULT_SOURCE


def _inject_source(assembly: Assembly, bindings: dict[str, SourceBinding], position: int) -> None:
    if not (assembly.is_offered(DEFAULT_SOURCE) and assembly.is_offered(DEFAULT_EXTRACTOR)):
        return
    # A plugin of the type under another name is the one that was meant; its parameters apply.
    source = assembly.of_type(DEFAULT_SOURCE) or assembly.ensure(DEFAULT_SOURCE)
    extractor = assembly.of_type(DEFAULT_EXTRACTOR) or assembly.ensure(DEFAULT_EXTRACTOR)
    if source is None or extractor is None:
        return
    path: Path = ("dataLayer", "sources", position)
    fetching = assembly.refer_to(DataSource, source.name, path)
    reading = assembly.refer_to(Extractor, extractor.name, path)
    if fetching is None or reading is None:
        return
    bindings[source.name] = SourceBinding(fetching, (reading,))
    if position == 0:
        assembly.inject(("dataLayer", "sources"), [])
    assembly.inject(path, {"pluginRef": source.name, "extractors": [{"pluginRef": extractor.name}]})


def build_discovery(assembly: Assembly, layer: DataLayer) -> Named[EndpointDiscovery] | None:
    """The discovery that the file names, if any; what has no implementation is a problem."""
    unavailable = (("peerDiscovery", layer.peer_discovery), ("crossReplicaSyncerPluginRef", layer.cross_replica_syncer))
    for field, value in unavailable:
        if value is not None:
            assembly.report.problem(("dataLayer", field), "is not available in this version", "remove it")
    if layer.discovery is None:
        return None
    return assembly.refer_to(EndpointDiscovery, layer.discovery.plugin_ref, ("dataLayer", "discovery", "pluginRef"))


def build_parsers(assembly: Assembly, config: EndpointPickerConfig) -> tuple[Named[Parser], ...]:
    """The parsers in the order in which they are asked; the first without paths of its own is the last."""
    kept: list[Named[Parser]] = []
    types: set[str] = set()
    for path, name in _parser_refs(assembly, config):
        parser = assembly.refer_to(Parser, name, path, create=True)
        if parser is None:
            continue
        plugin_type = assembly.instances[name].origin.type
        if plugin_type in types:
            assembly.report.warn(path, f"a second parser of type {shown(plugin_type)} is ignored")
        elif kept and not kept[-1].plugin.paths:
            assembly.report.warn(path, f"parser {shown(name)} comes after {shown(kept[-1].name)}, which takes the rest")
        else:
            types.add(plugin_type)
            kept.append(parser)
    return tuple(kept)


def _parser_refs(assembly: Assembly, config: EndpointPickerConfig) -> list[tuple[Path, str]]:
    listed = config.request_handler.parsers if config.request_handler is not None else []
    path: Path = ("requestHandler", "parsers")
    if config.parser is not None:
        ignored = " and is ignored beside requestHandler.parsers" if listed else ""
        assembly.report.warn(("parser",), f"is deprecated{ignored}", "write requestHandler.parsers")
    if config.parser is not None and not listed:
        return [(("parser", "pluginRef"), config.parser.plugin_ref)]
    if listed:
        return [((*path, position, "pluginRef"), ref.plugin_ref) for position, ref in enumerate(listed)]
    names = [name for name in DEFAULT_PARSERS if assembly.is_offered(name) or name in assembly.instances]
    names = [name for name in names if _is_parser(assembly, name)]
    assembly.inject(path, [{"pluginRef": name} for name in names])
    return [((*path, position, "pluginRef"), name) for position, name in enumerate(names)]


def _is_parser(assembly: Assembly, name: str) -> bool:
    made = assembly.ensure(name)
    return made is not None and serves(made.plugin, Parser)
