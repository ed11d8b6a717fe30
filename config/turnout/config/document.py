"""Reads YAML (and JSON, which is part of it) into plain values, and remembers the line of each.

PyYAML composes the tree of nodes; values are built here, because its own constructor drops places, accepts
duplicate keys and turns words into dates and base-60 numbers. Size, depth and number of values are bounded,
aliases counted as often as they are used.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from turnout.config.problems import ConfigError, Path, Problem, path_text, shown

Value: TypeAlias = "bool | int | float | str | list[Value] | dict[str, Value] | None"

MAX_BYTES = 1024 * 1024
MAX_VALUES = 50_000
MAX_DEPTH = 40
MAX_DIGITS = 40

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"})
_FALSE = frozenset({"false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"})
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)\Z")
_PREFIXED = re.compile(r"0(?:x[0-9a-fA-F]+|o[0-7]+)\Z")
_FLOAT = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?\Z")
_SPECIAL = {".inf": "inf", "+.inf": "inf", "-.inf": "-inf", ".nan": "nan"}
_PLAIN_TAGS = frozenset({"tag:yaml.org,2002:str", "tag:yaml.org,2002:seq", "tag:yaml.org,2002:map"})


@dataclass(frozen=True, slots=True)
class Document:
    """The values of a document and the line, from 1, of each path."""

    data: dict[str, Value]
    lines: Mapping[Path, int]


class _TooLarge(yaml.MarkedYAMLError):
    pass


class _Loader(yaml.SafeLoader):
    """Stops before a nesting that would exhaust the stack, and before too many values (keys are nodes, too)."""

    depth = 0
    nodes = 0

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        self.depth += 1
        self.nodes += 1
        if self.depth > MAX_DEPTH or self.nodes > 2 * MAX_VALUES:
            problem = f"nested more than {MAX_DEPTH} levels deep, or more than {MAX_VALUES} values"
            raise _TooLarge(problem=problem, problem_mark=self.peek_event().start_mark)  # type: ignore[no-untyped-call]
        node: Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


# Words are told from numbers below, by rules of JSON and of YAML's common core, not by PyYAML's.
_Loader.yaml_implicit_resolvers = {}


def read_document(text: str, source: str) -> Document:
    """The document's values.

    Raises:
        ConfigError: the text is not one YAML mapping, or exceeds a bound.
    """
    if len(text) > MAX_BYTES:
        message = f"the document has {len(text)} characters"
        raise ConfigError(source, [Problem(1, "document", message, f"at most {MAX_BYTES} are read")])
    root = _compose(text, source)
    builder = _Builder()
    data = builder.value(root, ()) if root is not None else None
    if not builder.problems and not isinstance(data, dict):
        what = "the document is empty" if data is None else f"the document is {shown(data)}"
        builder.problems.append(Problem(1, "document", what, "a mapping with kind: EndpointPickerConfig is expected"))
    if builder.problems or not isinstance(data, dict):
        raise ConfigError(source, builder.problems)
    return Document(data, builder.lines)


def _compose(text: str, source: str) -> Node | None:
    loader: _Loader | None = None
    try:
        loader = _Loader(_json_without_tabs(text))
        return loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = ", ".join(part for part in (error.context, error.problem) if part)
        line = mark.line + 1 if mark is not None else 1
        raise ConfigError(source, [Problem(line, "document", f"not valid YAML: {what}")]) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        what = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(source, [Problem(1, "document", f"not valid YAML: {what}")]) from error
    finally:
        if loader is not None:
            loader.dispose()


def _json_without_tabs(text: str) -> str:
    """JSON may be indented with tabs, YAML may not; a tab within a JSON string is always escaped."""
    if "\t" not in text or not text.lstrip().startswith("{"):
        return text
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text
    return text.replace("\t", " ")


class _Builder:
    """Turns nodes into values; notes the line of each and what is wrong with it."""

    def __init__(self) -> None:
        self.lines: dict[Path, int] = {}
        self.problems: list[Problem] = []
        self._values = 0
        self._above: set[int] = set()

    def value(self, node: Node, path: Path) -> Value:
        self._values += 1
        self.lines.setdefault(path, node.start_mark.line + 1)
        if self._values > MAX_VALUES:
            if self._values == MAX_VALUES + 1:
                self._problem(node, path, f"more than {MAX_VALUES} values, aliases counted as often as used")
            return None
        if isinstance(node, ScalarNode):
            return self._scalar(node, path)
        if id(node) in self._above or len(path) > MAX_DEPTH:
            self._problem(node, path, f"refers to itself or is nested more than {MAX_DEPTH} levels deep")
            return None
        self._above.add(id(node))
        built = self._collection(node, path)
        self._above.discard(id(node))
        return built

    def _collection(self, node: Node, path: Path) -> Value:
        if node.tag not in _PLAIN_TAGS:
            self._problem(node, path, f"the tag {shown(node.tag)} is not supported")
            return None
        if isinstance(node, SequenceNode):
            return [self.value(child, (*path, position)) for position, child in enumerate(node.value)]
        return self._mapping(node, path) if isinstance(node, MappingNode) else None

    def _mapping(self, node: MappingNode, path: Path) -> dict[str, Value]:
        built: dict[str, Value] = {}
        for key_node, child in node.value:
            key = self._scalar(key_node, path) if isinstance(key_node, ScalarNode) else None
            if not isinstance(key, str):
                self._problem(key_node, path, f"the key {_raw(key_node)} is not text", "put the key in quotes")
            elif key in built:
                first = self.lines[(*path, key)]
                self._problem(key_node, (*path, key), f"the key is given twice, first on line {first}")
            else:
                self.lines[(*path, key)] = key_node.start_mark.line + 1
                built[key] = self.value(child, (*path, key))
        return built

    def _scalar(self, node: ScalarNode, path: Path) -> Value:
        if node.tag not in _PLAIN_TAGS:
            self._problem(node, path, f"the tag {shown(node.tag)} is not supported")
            return None
        try:
            return plain_value(node.value) if node.style is None else _text(node.value)
        except ValueError as error:
            self._problem(node, path, str(error))
            return None

    def _problem(self, node: Node, path: Path, message: str, hint: str = "") -> None:
        self.problems.append(Problem(node.start_mark.line + 1, path_text(path), message, hint))


def plain_value(text: str) -> bool | int | float | str | None:
    """What an unquoted word means.

    Raises:
        ValueError: a number with too many digits, or text with characters that cannot be shown.
    """
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    number = _number(text)
    return _text(text) if number is None else number


def _number(text: str) -> int | float | None:
    integer, prefixed = _INTEGER.match(text), _PREFIXED.match(text)
    if (integer or prefixed) and len(text) > MAX_DIGITS:
        raise ValueError(f"a number of {len(text)} digits; at most {MAX_DIGITS} are read")
    if integer or prefixed:
        return int(text, 0) if prefixed else int(text)
    if text.lower() in _SPECIAL:
        return float(_SPECIAL[text.lower()])
    return float(text) if _FLOAT.match(text) else None


def _text(text: str) -> str:
    # JSON escapes a character beyond U+FFFF as two surrogates.
    try:
        joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    except UnicodeDecodeError:
        raise ValueError("text with half of a surrogate pair") from None
    if "\x00" in joined:
        raise ValueError("text with a NUL character")
    return joined


def _raw(node: Node) -> str:
    return shown(node.value) if isinstance(node, ScalarNode) else "of several values"
