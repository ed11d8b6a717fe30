"""Feature gates: which are open."""

from collections.abc import Mapping
from types import MappingProxyType

from turnout.config.assembly import Assembly
from turnout.config.catalogue import FEATURE_GATES, FLOW_CONTROL_GATE
from turnout.config.document import Value
from turnout.config.problems import Path, one_of, shown
from turnout.config.schema import EndpointPickerConfig
from turnout.config.shape import REPAIRED
from turnout.config.spellings import parse_bool


def feature_gates(assembly: Assembly, config: EndpointPickerConfig) -> Mapping[str, bool]:
    """Every gate and whether it is open; the last mention of a gate counts.

    A strategy of flow control opens its gate, unless the file says otherwise.
    """
    gates = dict(FEATURE_GATES)
    if config.flow_control is not None and config.flow_control.strategy is not None:
        gates[FLOW_CONTROL_GATE] = True
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
