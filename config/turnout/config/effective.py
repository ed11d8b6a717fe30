"""The configuration as it takes effect: the file's own values and every default that was put in, marked."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from turnout.config.document import Value, plain_value
from turnout.config.problems import Path, Problem, path_text

MARK = "  # default"
_PLAIN_TEXT = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*\Z")


@dataclass(frozen=True, slots=True)
class Effective:
    """What `turnout validate` prints. ``injected`` holds the places of values that the file does not have."""

    config: dict[str, Value]
    injected: frozenset[Path]
    warnings: tuple[Problem, ...] = ()

    def to_yaml(self) -> str:
        """The configuration as YAML that loads to the same pipeline; lines of defaults end in ``# default``."""
        return "".join(f"{line}\n" for line in self._mapping(self.config, (), ""))

    def to_json(self) -> dict[str, object]:
        """``config``, the paths of ``injected`` values, and ``warnings`` as one line each, ready for ``json.dump``."""
        return {
            "config": self.config,
            "injected": sorted(path_text(path) for path in self.injected),
            "warnings": [str(warning) for warning in self.warnings],
        }

    def _mapping(self, data: dict[str, Value], path: Path, indent: str) -> Iterator[str]:
        for key, value in data.items():
            yield from self._entry(f"{indent}{_scalar(key)}:", value, (*path, key), indent)

    def _entry(self, head: str, value: Value, path: Path, indent: str) -> Iterator[str]:
        mark = MARK if self._is_injected(path) else ""
        if isinstance(value, dict) and value:
            yield head + mark
            yield from self._mapping(value, path, f"{indent}  ")
        elif isinstance(value, list) and value:
            yield head + mark
            for position, item in enumerate(value):
                yield from self._item(item, (*path, position), indent)
        else:
            yield f"{head} {_scalar(value)}{mark}"

    def _item(self, value: Value, path: Path, indent: str) -> Iterator[str]:
        if isinstance(value, dict) and value:
            first, *rest = self._mapping(value, path, f"{indent}  ")
            yield f"{indent}- {first.lstrip(' ')}"
            yield from rest
        else:
            yield from self._entry(f"{indent}-", value, path, f"{indent}  ")

    def _is_injected(self, path: Path) -> bool:
        return any(path[:length] in self.injected for length in range(1, len(path) + 1))


def _scalar(value: Value) -> str:
    """One value on one line; JSON is YAML, and plain words need no quotes."""
    if isinstance(value, str) and _PLAIN_TEXT.match(value) and plain_value(value) == value:
        return value
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return ".inf" if value > 0 else "-.inf"
    return ".nan" if value != value else json.dumps(value)
