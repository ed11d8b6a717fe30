"""Checks values against a pydantic model and says in the words of a configuration's author what does not fit."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from turnout.config.document import Value
from turnout.config.problems import Path, Report, one_of, shown
from turnout.config.spellings import DURATION_HINT, QUANTITY_HINT

M = TypeVar("M", bound=BaseModel)

REPAIRED = "\x00"
"""Stands for a required text that is missing or wrong and has been reported; a document cannot contain it."""

MOST_ROUNDS = 12

_WANTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "none_required": "null",
}
_SPELLINGS = {
    "is negative": "accepted: 0 or more",
    "is not within [0, 1]": "accepted: 0 to 1",
    "is not a duration": DURATION_HINT,
    "is not a quantity": QUANTITY_HINT,
}


def check_shape(model: type[M], data: dict[str, Value], report: Report, below: Path = ()) -> M | None:
    """The data as the model, or None after reporting every misfit under the path ``below``."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        explain(error, model, data, report, below)
        return None


def salvage(model: type[M], data: dict[str, Value], report: Report) -> tuple[M, dict[str, Value]] | None:
    """The data and its model, every misfit reported and left out, so that the rest can be checked further.

    Lists keep their positions; a required text that is missing becomes ``REPAIRED``.
    """
    data = deepcopy(data)
    for round_number in range(MOST_ROUNDS):
        try:
            return model.model_validate(data), data
        except ValidationError as error:
            if round_number == 0:
                explain(error, model, data, report, ())
            # All places first: a repair changes what a path leads to.
            for path, missing, kind in {_misfit(data, detail): None for detail in error.errors()}:
                _repair(data, path, missing, kind)
    return None


def explain(
    error: ValidationError, model: type[BaseModel], data: dict[str, Value], report: Report, below: Path
) -> None:
    """Reports what pydantic found; the branches of a union become one problem."""
    wanted: dict[Path, list[str]] = {}
    for detail in error.errors():
        path = _path_in(data, detail)
        if detail["type"] in _WANTED:
            wanted.setdefault(path, []).append(_WANTED[detail["type"]])
        else:
            message, hint = _words(detail, model)
            report.problem((*below, *path), message, hint)
    for path, kinds in wanted.items():
        accepted = " or ".join(dict.fromkeys(kinds))
        report.problem((*below, *path), f"is {shown(_at(data, path))}", f"accepted: {accepted}")


def _words(detail: ErrorDetails, model: type[BaseModel]) -> tuple[str, str]:
    kind, given = detail["type"], detail["input"]
    last = detail["loc"][-1] if detail["loc"] else ""
    if kind == "extra_forbidden":
        return "unknown field", one_of(str(last), _fields_at(model, detail["loc"][:-1]))
    if kind == "missing":
        return f"the required field {last!r} is missing", one_of(None, _fields_at(model, detail["loc"][:-1]))
    if kind == "string_too_short":
        return "is empty", "accepted: text of at least one character"
    if kind in ("literal_error", "enum"):
        return f"{shown(given)} is not accepted", f"accepted: {detail['ctx']['expected']}"
    if kind == "value_error":
        text = str(detail["ctx"]["error"])
        return (text if isinstance(given, Mapping) else f"{shown(given)} {text}"), _SPELLINGS.get(text, "")
    return detail["msg"], ""


def _fields_at(model: type[BaseModel], loc: Sequence[str | int]) -> list[str]:
    """The names that the mapping at this place may have."""
    for step in loc:
        # Positions in lists and keys of free mappings name no field and are passed over.
        field = next((field for name, field in model.model_fields.items() if step in (field.alias, name)), None)
        model = (_model_in(field.annotation) if field is not None else None) or model
    return field_names(model)


def field_names(model: type[BaseModel]) -> list[str]:
    """The fields of a model as documents spell them."""
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(argument) for argument in get_args(annotation))
    return next((model for model in found if model is not None), None)


def _path_in(data: Value, detail: ErrorDetails) -> Path:
    """Where the error is in the document: pydantic adds union branches and declared spellings to its own path."""
    path: list[str | int] = []
    missing = detail["type"] == "missing"
    for step in detail["loc"][: -1 if missing else None]:
        key = _key_like(data, step)
        if key is None:
            break
        path.append(key)
        data = data[key]  # type: ignore[index]
    return tuple(path)


def _misfit(data: Value, detail: ErrorDetails) -> tuple[Path, str | None, str]:
    missing = str(detail["loc"][-1]) if detail["type"] == "missing" else None
    return _path_in(data, detail), missing, detail["type"]


def _key_like(data: Value, step: str | int) -> str | int | None:
    if isinstance(data, list):
        return step if isinstance(step, int) and step < len(data) else None
    if isinstance(data, dict) and isinstance(step, str):
        return step if step in data else next((key for key in data if key.casefold() == step.casefold()), None)
    return None


def _at(data: Value, path: Path) -> Value:
    for step in path:
        data = data[step]  # type: ignore[index]
    return data


def _repair(data: dict[str, Value], path: Path, missing: str | None, kind: str) -> None:
    if missing is not None:
        place = _at(data, path)
        if isinstance(place, dict):
            place[missing] = REPAIRED
        return
    parent = _at(data, path[:-1])
    if isinstance(parent, list):
        parent[int(path[-1])] = REPAIRED if kind == "string_type" else {}
    elif isinstance(parent, dict) and path:
        parent.pop(str(path[-1]), None)
