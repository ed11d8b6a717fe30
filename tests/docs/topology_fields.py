"""The fields of a topology document, as its types say."""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from turnout.plugins.topology.machine import Machine


def topology_fields() -> Iterator[Sequence[str]]:
    """Path, type and meaning of each, those of what it holds below it."""
    _, types = msgspec.json.schema_components([Machine])
    yield from _below("", "Machine", types)


def _below(path: str, name: str, types: Mapping[str, Mapping[str, object]]) -> Iterator[Sequence[str]]:
    properties = types[name]["properties"]
    assert isinstance(properties, Mapping)
    for field, shape in properties.items():
        inner, listed, nullable = _shape(shape)
        below = str(inner.get("$ref", "")).rpartition("/")[2]
        said = shape.get("description") or str(types[below].get("description", "")).partition(".")[0]
        words = inner.get("enum")
        kind = (
            " or ".join(f"`{word}`" for word in words) if isinstance(words, list) else str(inner.get("type", "object"))
        )
        yield f"`{path}{field}`", ("list of " if listed else "") + kind + (", null" if nullable else ""), said
        if below:
            yield from _below(f"{path}{field}{'[]' if listed else ''}.", below, types)


def _shape(shape: Mapping[str, object]) -> tuple[Mapping[str, object], bool, bool]:
    """What is inside, whether in a list, whether it may be null."""
    choices = shape.get("anyOf")
    nullable = isinstance(choices, list)
    if isinstance(choices, list):
        shape = next(choice for choice in choices if choice.get("type") != "null")
    items = shape.get("items")
    return (items, True, nullable) if isinstance(items, Mapping) else (shape, False, nullable)
