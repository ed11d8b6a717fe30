"""Feature gates, and the settings of flow control."""

from collections.abc import Mapping
from types import MappingProxyType

from turnout.config.assembly import Assembly
from turnout.config.catalogue import DEFAULT_DETECTOR, DEFAULT_FLOW_POLICIES, FEATURE_GATES, UNAVAILABLE_GATES
from turnout.config.document import Value
from turnout.config.problems import Path, one_of, shown
from turnout.config.schema import EndpointPickerConfig, FlowControl
from turnout.config.shape import REPAIRED
from turnout.config.spellings import parse_bool
from turnout.framework import Named, SaturationDetector


def feature_gates(assembly: Assembly, config: EndpointPickerConfig) -> Mapping[str, bool]:
    """Every gate and whether it is open; the last mention of a gate counts."""
    gates = dict(FEATURE_GATES)
    for position, text in enumerate(config.feature_gates):
        if text != REPAIRED:
            _set_gate(assembly, gates, text, ("featureGates", position))
    stated = {text.partition("=")[0].strip() for text in config.feature_gates}
    rest: list[Value] = [f"{name}={str(value).lower()}" for name, value in gates.items() if name not in stated]
    if not config.feature_gates:
        assembly.inject(("featureGates",), rest)
    else:
        for position, unstated in enumerate(rest, len(config.feature_gates)):
            assembly.inject(("featureGates", position), unstated)
    return MappingProxyType(gates)


def _set_gate(assembly: Assembly, gates: dict[str, bool], text: str, path: Path) -> None:
    name, equals, value = (part.strip() for part in text.partition("="))
    if name not in gates:
        assembly.report.problem(path, f"unknown feature gate {shown(name)}", one_of(name, gates))
        return
    try:
        gates[name] = parse_bool(value) if equals else True
    except ValueError as error:
        assembly.report.problem(path, f"feature gate {name}: {error}", "accepted: true, false, t, f, 1, 0")
        return
    if gates[name] and name in UNAVAILABLE_GATES:
        message = f"feature gate {name} is not available in this version"
        assembly.report.problem(path, message, f"accepted: {name}=false")


def check_section(assembly: Assembly, config: EndpointPickerConfig) -> None:
    """Reports what is wrong with the file's own settings; they are ignored as long as the gate is closed."""
    section = config.flow_control
    if section is None:
        return
    _check_bands(assembly, section)
    if section.model_fields_set - {"saturation_detector"}:
        message = "is ignored: feature gate flowControl is off"
        assembly.report.warn(("flowControl",), message, "only saturationDetector takes effect")


def _check_bands(assembly: Assembly, section: FlowControl) -> None:
    seen: dict[int, int] = {}
    for position, band in enumerate(section.priority_bands):
        if band.priority in seen:
            path: Path = ("flowControl", "priorityBands", position)
            message = f"duplicate priority {band.priority}, first in priorityBands[{seen[band.priority]}]"
            assembly.report.problem(path, message, "each priority has one band")
        seen.setdefault(band.priority, position)


def build_detector(assembly: Assembly, config: EndpointPickerConfig) -> Named[SaturationDetector] | None:
    """The saturation detector: the one that is named, else the default if it is on offer."""
    for policy in DEFAULT_FLOW_POLICIES:
        assembly.ensure(policy)
    path: Path = ("flowControl", "saturationDetector", "pluginRef")
    stated = config.flow_control.saturation_detector if config.flow_control is not None else None
    if config.saturation_detector is not None:
        ignored = " and is ignored beside flowControl.saturationDetector" if stated is not None else ""
        hint = "write flowControl.saturationDetector"
        assembly.report.warn(("saturationDetector",), f"is deprecated{ignored}", hint)
        path = path if stated is not None else ("saturationDetector", "pluginRef")
        stated = stated or config.saturation_detector
    if stated is not None:
        name = stated.plugin_ref
        # Only the default may be named without being listed.
        return assembly.refer_to(SaturationDetector, name, path, create=name == DEFAULT_DETECTOR)
    if assembly.ensure(DEFAULT_DETECTOR) is None:
        return None
    assembly.inject(path[:-1], {"pluginRef": DEFAULT_DETECTOR})
    return assembly.refer_to(SaturationDetector, DEFAULT_DETECTOR, path)
