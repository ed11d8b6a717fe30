"""Reads a list of endpoints, YAML or JSON, and finds all its problems at once. Pure."""

import re
from collections.abc import Iterator, Mapping

import yaml

from turnout.epp.datalayer.discovery.hosts import is_host
from turnout.framework import EndpointSpec

MAX_BYTES = 1024 * 1024
_MAX_NAME = 253
_MAX_PORT = 65535
_PORT = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)
_SHOWN = 80
# The format needs 4 levels. The C loader recurses without a bound and would overflow the stack.
_MAX_DEPTH = 16


def parse_endpoints(text: bytes) -> list[EndpointSpec]:
    """Reads ``endpoints: [{name, namespace, address, port, labels}]``; other fields are ignored.

    Raises:
        ValueError: anything is wrong; the message has one line for each problem, with index and field.
    """
    if len(text) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes")
    specs: list[EndpointSpec] = []
    problems: list[str] = []
    for index, entry in enumerate(_entries(_load(text))):
        reader = _Entry(entry, f"endpoints[{index}]")
        specs.append(reader.spec())
        problems += reader.problems
    problems += _duplicates(specs)
    if problems:
        raise ValueError("\n".join(problems))
    return specs


def _entries(document: object) -> list[object]:
    entries = document.get("endpoints") if isinstance(document, dict) else None
    if isinstance(entries, list):
        return entries
    raise ValueError("expected a mapping with a list under 'endpoints'")


def _load(text: bytes) -> object:
    try:
        if text.lstrip().startswith(b"{"):
            text = text.replace(b"\t", b" ")  # JSON may be indented by tabs, which YAML does not allow
        _check_shape(text)
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - derived from the safe loader
    except (yaml.YAMLError, ValueError) as error:  # ValueError: impossible dates, undecodable bytes
        raise ValueError(f"not YAML or JSON: {error}") from error


def _check_shape(text: bytes) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        anchor = event.anchor if isinstance(event, yaml.AliasEvent) else None
        if anchor:  # few bytes of aliases can stand for a list of any length
            raise ValueError(f"aliases (*{anchor}) are not supported")
        if depth > _MAX_DEPTH:
            raise ValueError(f"nested deeper than {_MAX_DEPTH} levels")


class _Loader(yaml.CSafeLoader):
    """Refuses a key that a mapping has twice; the last one would win silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise ValueError(f"key {key.value!r} given twice, again in line {key.start_mark.line + 1}")
                seen.add(key.value)
        mapping: dict[object, object] = super().construct_mapping(node, deep)
        return mapping


class _Entry:
    """Reads one entry and collects what is wrong with it; ``spec`` means something only if nothing is."""

    def __init__(self, entry: object, place: str) -> None:
        self._fields: Mapping[object, object] = entry if isinstance(entry, dict) else {}
        self._place = place
        self.problems: list[str] = []
        if not isinstance(entry, dict):
            self.problems.append(f"{place}: expected a mapping with name, address and port")

    def spec(self) -> EndpointSpec:
        if self.problems:
            return EndpointSpec("", "", 0, {})
        name = f"{self._name('namespace', 'default')}/{self._name('name', '')}"
        return EndpointSpec(name, self._address(), self._port(), self._labels())

    def _name(self, field: str, default: str) -> str:
        value = self._fields.get(field, default)
        if not isinstance(value, str) or not 0 < len(value) <= _MAX_NAME:
            self._add(field, f"expected a text of 1 to {_MAX_NAME} characters", value)
        elif "/" in value or not value.isprintable() or " " in value:
            self._add(field, "expected no blank, slash or control character", value)
        return str(value)

    def _address(self) -> str:
        value = self._fields.get("address")
        if not isinstance(value, str) or not is_host(value):
            self._add("address", "expected an IPv4 address, an IPv6 address without brackets or a host name", value)
        return str(value)

    def _port(self) -> int:
        value = self._fields.get("port")
        is_number = isinstance(value, int) and not isinstance(value, bool)
        text = str(value) if is_number or isinstance(value, str) else ""
        if _PORT.fullmatch(text) and int(text) <= _MAX_PORT:
            return int(text)
        self._add("port", f'expected "1" to "{_MAX_PORT}"', value)
        return 0

    def _labels(self) -> dict[str, str]:
        value = self._fields.get("labels")
        if value is None:
            return {}
        if not isinstance(value, dict):
            self._add("labels", "expected a mapping of texts to texts", value)
            return {}
        for key, text in value.items():
            if not isinstance(key, str) or not isinstance(text, str):
                self._add(f"labels[{key!s:.40}]", "expected a text; quote it", text)
        return value

    def _add(self, field: str, expected: str, value: object) -> None:
        got = "nothing" if value is None else _shown(value)
        self.problems.append(f"{self._place}.{field}: {expected}, got {got}")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _duplicates(specs: list[EndpointSpec]) -> Iterator[str]:
    first: dict[str, int] = {}
    for index, spec in enumerate(specs):
        earlier = first.setdefault(spec.name, index)
        if spec.name and earlier != index:
            yield f"endpoints[{index}].name: {spec.name} is also endpoints[{earlier}]"
