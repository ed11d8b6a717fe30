"""Text to pipeline, in steps that each report all they find; nothing is returned unless nothing was wrong."""

from collections.abc import Mapping
from pathlib import Path as FilePath
from types import MappingProxyType

from turnout.config import data_graph, data_layer, flow_control, flow_policies
from turnout.config.assembly import Assembly
from turnout.config.catalogue import FLOW_CONTROL_GATE
from turnout.config.document import MAX_BYTES, Document, Value, read_document
from turnout.config.effective import Effective
from turnout.config.feature_gates import feature_gates
from turnout.config.pipeline import FlowControlSettings, Pipeline
from turnout.config.problems import ConfigError, Path, Problem, Report, shown
from turnout.config.profiles import build_scheduler
from turnout.config.schema import (
    DEPRECATED_VERSION,
    KIND,
    NO_DATA_LAYER,
    OWN_FLOW_FIELDS,
    OWN_VERSION,
    PREFERRED_VERSION,
    EndpointPickerConfig,
    without_nulls,
)
from turnout.config.shape import salvage
from turnout.config.shipped import shipped_profiles
from turnout.framework import (
    PROMPT,
    Admitter,
    Classifier,
    DecisionAdmitter,
    Diagnosed,
    EndpointWatcher,
    Named,
    PreRequest,
    Registry,
    RequestRefused,
    ResponseBody,
    ResponseComplete,
    ResponseHeaders,
    Runnable,
    SaturationDetector,
    Screener,
    WallClock,
)

DEFAULT_CONFIG = shipped_profiles().joinpath("default.yaml").read_text(encoding="utf-8")
"""What is in effect when no configuration is given."""


def load_pipeline_file(
    path: FilePath,
    *,
    registry: Registry | None = None,
    previous: Pipeline | None = None,
    wall_clock: WallClock | None = None,
) -> Pipeline:
    """The pipeline that a file of at most 1 MiB describes; otherwise as ``load_pipeline``.

    Raises:
        ConfigError: the file cannot be read, or has problems; ``source`` is its path.
    """
    source = str(path)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ConfigError(source, [Problem(1, "document", f"is larger than {MAX_BYTES} bytes")])
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(source, [Problem(1, "document", f"is not UTF-8 at byte {error.start}")]) from error
    except OSError as error:
        raise ConfigError(source, [Problem(1, "document", f"cannot be read: {error.strerror}")]) from error
    return load_pipeline(text, source=source, registry=registry, previous=previous, wall_clock=wall_clock)


def load_pipeline(
    text: str,
    *,
    source: str = "<text>",
    registry: Registry | None = None,
    previous: Pipeline | None = None,
    wall_clock: WallClock | None = None,
) -> Pipeline:
    """The pipeline that YAML (or JSON) describes, checked and assembled.

    ``registry`` offers the plugin types; the default is all installed distributions. With ``previous`` plugins
    whose name, type and parameters are unchanged are taken over with their state; ``previous`` itself does not
    change, whatever the outcome. ``wall_clock`` is what plugins that ask for one receive; the default is that of
    ``previous``, else one that stands at 1970 until its owner sets it.

    Raises:
        ConfigError: holds every problem that was found. Only text that is not YAML hides further problems.
    """
    document = read_document(text, source)
    report = Report(document.lines)
    offered = registry or Registry.from_entry_points()
    clock = wall_clock or (previous.wall_clock if previous is not None else WallClock())
    assembly = Assembly(without_nulls(document.data), offered, report, previous, clock)
    pipeline = _assemble(assembly, document)
    if report.problems or pipeline is None:
        raise ConfigError(source, report.problems)
    return pipeline


def _assemble(assembly: Assembly, document: Document) -> Pipeline | None:
    salvaged = salvage(EndpointPickerConfig, assembly.config, assembly.report)
    if salvaged is None:
        return None
    config, assembly.config = salvaged
    _check_version(assembly, document.data, config)
    gates = feature_gates(assembly, config)
    for position, spec in enumerate(config.plugins):
        assembly.add(spec, position)
    return _wire(assembly, config, gates)


def _wire(assembly: Assembly, config: EndpointPickerConfig, gates: Mapping[str, bool]) -> Pipeline | None:
    """Every step reports what it finds; the order is that of the field, so that injected plugins come in its order."""
    scheduler = build_scheduler(assembly, config)
    detector, flow = _flow_control(assembly, config, is_open=gates[FLOW_CONTROL_GATE])
    parsers = data_layer.build_parsers(assembly, config)
    sources = data_layer.build_sources(assembly, config.data_layer or NO_DATA_LAYER)
    discovery = data_layer.build_discovery(assembly, config.data_layer or NO_DATA_LAYER)
    data_graph.add_producers(assembly)
    data_graph.check_reads(assembly)
    stages = data_graph.producer_stages(assembly)
    # The fallback alone is content with the headers.
    reads_body = any(parser.plugin.paths for parser in parsers)
    if not reads_body:
        _warn_prompt_readers(assembly)
    if scheduler is None or assembly.report.problems:
        return None
    warnings = assembly.report.warnings
    return Pipeline(
        scheduler=scheduler,
        plugins=MappingProxyType({name: instance.plugin for name, instance in assembly.instances.items()}),
        origins=MappingProxyType({name: instance.origin for name, instance in assembly.instances.items()}),
        classifiers=assembly.serving(Classifier),
        producer_stages=stages,
        screeners=assembly.serving(Screener),
        admitters=assembly.serving(Admitter),
        decision_admitters=assembly.serving(DecisionAdmitter),
        pre_request=assembly.serving(PreRequest),
        response_headers=assembly.serving(ResponseHeaders),
        response_body=assembly.serving(ResponseBody),
        response_complete=assembly.serving(ResponseComplete),
        request_refused=assembly.serving(RequestRefused),
        parsers=parsers,
        sources=sources,
        discovery=discovery,
        runnables=assembly.serving(Runnable),
        watchers=assembly.serving(EndpointWatcher),
        diagnosed=assembly.serving(Diagnosed),
        feature_gates=gates,
        detector=detector,
        flow_control=flow_control.with_listed(assembly, flow),
        reads_body=reads_body,
        wall_clock=assembly.wall_clock,
        warnings=warnings,
        effective=Effective(assembly.config, frozenset(assembly.injected), warnings),
    )


def _flow_control(
    assembly: Assembly, config: EndpointPickerConfig, *, is_open: bool
) -> tuple[Named[SaturationDetector] | None, FlowControlSettings | None]:
    flow_policies.add_default_policies(assembly)
    detector = flow_policies.build_detector(assembly, config, required=is_open)
    if is_open:
        return detector, flow_control.build_flow_control(assembly, config, detector)
    flow_control.ignore_section(assembly, config)
    return detector, None


def _check_version(assembly: Assembly, data: Mapping[str, Value], config: EndpointPickerConfig) -> None:
    stated = data.get("apiVersion")
    if stated is None:
        assembly.report.warn((), "apiVersion is missing", f"taken as {PREFERRED_VERSION}")
        assembly.inject(("apiVersion",), PREFERRED_VERSION)
    if data.get("kind") is None:
        assembly.report.warn((), "kind is missing", f"taken as {KIND}")
        assembly.inject(("kind",), KIND)
    if stated == DEPRECATED_VERSION:
        assembly.report.warn(("apiVersion",), f"{DEPRECATED_VERSION} is deprecated", f"write {PREFERRED_VERSION}")
    if stated in (None, PREFERRED_VERSION, DEPRECATED_VERSION):
        _refuse_additions(assembly, config)


def _refuse_additions(assembly: Assembly, config: EndpointPickerConfig) -> None:
    paths: list[Path] = [
        ("schedulingProfiles", number, "plugins", place, "onError")
        for number, profile in enumerate(config.scheduling_profiles)
        for place, entry in enumerate(profile.plugins)
        if entry.on_error is not None
    ]
    section = assembly.config.get("flowControl")
    if isinstance(section, dict):
        paths += [("flowControl", name) for name in OWN_FLOW_FIELDS if name in section]
    for path in paths:
        assembly.report.problem(path, "is a field of another version", f"write apiVersion: {OWN_VERSION}")


def _warn_prompt_readers(assembly: Assembly) -> None:
    for instance in assembly.instances.values():
        if PROMPT in data_graph.keys(instance, "reads"):
            message = f"plugin {shown(instance.name)} reads the prompt, and no configured parser reads bodies"
            assembly.report.warn(instance.place, message, "add a parser such as openai-parser")
