"""A plugin's parameters, read off its constructor.

Each parameter becomes a field of a pydantic model: ``snake_case`` is spelled ``camelCase`` in YAML (in any
case, as Go's decoder takes it), ``timedelta`` is a Go duration, ``Quantity`` a Kubernetes quantity, a frozen
dataclass is a mapping with fields translated the same way, a list becomes a tuple. A parameter annotated
``PluginName`` receives the configured name, one annotated ``WallClock`` the clock. A parameter of another type that
YAML cannot express is left at its default.
"""

import inspect
import json
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, MutableSequence, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from datetime import timedelta
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import pydantic
from pydantic import AfterValidator, BaseModel, BeforeValidator, Strict, WithJsonSchema, create_model, model_validator
from pydantic.fields import FieldInfo

from turnout.config.document import Value
from turnout.config.problems import Path, Report
from turnout.config.schema import DURATION_SCHEMA, Section
from turnout.config.schema import Quantity as CheckedQuantity
from turnout.config.shape import check_shape, field_names
from turnout.config.spellings import as_spelled, camel_case, format_duration, parse_duration
from turnout.framework import PluginName, Quantity, WallClock

_SIMPLE = (bool, int, float, str, NoneType)
_TUPLES = (tuple, list, Sequence, MutableSequence, Collection, Iterable)
_SETS = (set, frozenset, AbstractSet)
_GO_DURATION = Annotated[timedelta, BeforeValidator(parse_duration), WithJsonSchema(DURATION_SCHEMA)]


class UnreadableParametersError(Exception):
    """A constructor whose parameters cannot be expressed in YAML; the text says which and why."""


class _Parameters(Section):
    """Takes a parameter's name in any case: ``maxTTFTPenaltyMs`` is ``max_ttft_penalty_ms``, too."""

    @model_validator(mode="before")
    @classmethod
    def _respell(cls, data: object) -> object:
        if not isinstance(data, dict):
            return data
        spelled = {name.casefold(): name for name in field_names(cls)}
        respelled: dict[object, object] = {}
        for key, value in data.items():
            name = spelled.get(key.casefold(), key) if isinstance(key, str) else key
            if name in respelled:
                raise ValueError(f"{name} is given twice")
            respelled[name] = value
        return respelled


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a plugin's constructor takes.

    ``name_parameter`` is the one that receives the configured name, ``clock_parameter`` the one that receives the
    clock, if any.
    """

    model: type[BaseModel]
    name_parameter: str | None
    clock_parameter: str | None
    defaults: Mapping[str, object]

    @property
    def names(self) -> list[str]:
        """The settable parameters as YAML spells them."""
        return field_names(self.model)

    def arguments(
        self, given: Value, name: str, clock: WallClock, report: Report, path: Path
    ) -> dict[str, object] | None:
        """Keyword arguments for the constructor, defaults included; None after reporting what does not fit."""
        if given is not None and not isinstance(given, dict):
            report.problem(path, "is not a mapping", "accepted: a mapping from parameter to value")
            return None
        if given and not self.names:
            report.problem(path, "the plugin accepts no parameters", "remove them")
            return None
        model = check_shape(self.model, given or {}, report, path)
        if model is None:
            return None
        chosen = {_python_name(field): getattr(model, field) for field in model.model_fields_set}
        named = {self.name_parameter: name} if self.name_parameter else {}
        timed = {self.clock_parameter: clock} if self.clock_parameter else {}
        return {**self.defaults, **chosen, **named, **timed}

    def spelled(self, arguments: Mapping[str, object]) -> dict[str, Value]:
        """The arguments as YAML spells them; those that are None or that it cannot express are left out."""
        received = (self.name_parameter, self.clock_parameter)
        return _without_none({name: value for name, value in arguments.items() if name not in received})


def parameters_of(plugin_type: Callable[..., object]) -> Parameters:
    """Reads the constructor's signature.

    Raises:
        UnreadableParametersError: an annotation is missing or cannot be resolved, or a required parameter is of
            a type that YAML cannot express.
    """
    hints = _hints(plugin_type)
    settable: dict[str, FieldInfo] = {}
    annotations: dict[str, object] = {}
    defaults: dict[str, object] = {}
    received: dict[object, str] = {}
    for parameter in _named_parameters(plugin_type):
        annotation = hints.get(parameter.name)
        if annotation in (PluginName, WallClock):
            received[annotation] = parameter.name
            continue
        required = parameter.default is inspect.Parameter.empty
        if _expressible(annotation):
            annotations[parameter.name] = _translated(annotation)
            settable[parameter.name] = _field(parameter.name, MISSING if required else parameter.default)
            defaults |= {} if required else {parameter.name: parameter.default}
        elif required:
            raise UnreadableParametersError(f"parameter {parameter.name!r} has no type that YAML can express")
    model = _model(_type_name(plugin_type), annotations, settable)
    return Parameters(model, received.get(PluginName), received.get(WallClock), defaults)


def _named_parameters(plugin_type: Callable[..., object]) -> list[inspect.Parameter]:
    try:
        found = inspect.signature(plugin_type).parameters.values()
    except (TypeError, ValueError) as error:
        raise UnreadableParametersError(f"the constructor has no readable signature: {error}") from error
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    unnamed = [parameter.name for parameter in found if parameter.kind is inspect.Parameter.POSITIONAL_ONLY]
    if unnamed:
        raise UnreadableParametersError(f"parameter {unnamed[0]!r} cannot be given by name")
    return [parameter for parameter in found if parameter.kind in named]


def _hints(plugin_type: Callable[..., object]) -> dict[str, object]:
    described: object = plugin_type
    if isinstance(plugin_type, type) and not is_dataclass(plugin_type):
        described = inspect.getattr_static(plugin_type, "__init__")
    try:
        return get_type_hints(described, include_extras=True)
    except (NameError, TypeError, AttributeError, SyntaxError) as error:
        raise UnreadableParametersError(f"an annotation of the constructor cannot be resolved: {error}") from error


def _expressible(annotation: object, depth: int = 0) -> bool:
    """Whether YAML has a value for the type; dataclasses may hold each other, but not themselves."""
    if depth > 8 or annotation in (None, Ellipsis):
        return annotation is Ellipsis
    annotation = getattr(annotation, "__supertype__", annotation)
    if annotation in _SIMPLE or annotation is timedelta or _is_enum(annotation):
        return True
    if _is_plain_dataclass(annotation):
        return all(_expressible(hint, depth + 1) for hint in _field_hints(annotation).values())
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return True
    if origin is Annotated:
        return _expressible(arguments[0], depth)
    known = origin in (*_TUPLES, *_SETS, dict, Mapping, Union, UnionType)
    return known and all(_expressible(argument, depth + 1) for argument in arguments)


def _translated(annotation: Any) -> Any:
    if annotation is Quantity:
        return CheckedQuantity
    annotation = getattr(annotation, "__supertype__", annotation)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is timedelta:
        return _GO_DURATION
    if _is_enum(annotation):
        return Annotated[annotation, Strict(False)]
    if _is_plain_dataclass(annotation):
        return _mapping_for(annotation)
    if origin in _SETS:
        return Annotated[frozenset[_translated(arguments[0])], Strict(False)]  # type: ignore[misc]
    if origin in _TUPLES:
        inner = tuple(argument if argument is Ellipsis else _translated(argument) for argument in arguments)
        return Annotated[tuple[inner if origin is tuple else (*inner, ...)], Strict(False)]  # type: ignore[misc]
    if origin in (dict, Mapping):
        return dict[str, _translated(arguments[1])]  # type: ignore[misc]
    if origin in (Union, UnionType):
        return Union[tuple(_translated(argument) for argument in arguments)]  # noqa: UP007 - built at run time
    return annotation


def _mapping_for(nested: Any) -> Any:
    """A mapping that is turned into the dataclass, whose own checks run in its constructor."""
    own = {field.name: field for field in fields(nested) if field.init}
    annotations = {name: _translated(hint) for name, hint in _field_hints(nested).items()}
    settable = {name: _field(name, _default_of(field)) for name, field in own.items()}
    model = _model(nested.__name__, annotations, settable)

    def build(values: BaseModel) -> object:
        try:
            return nested(**{_python_name(field): getattr(values, field) for field in values.model_fields_set})
        except ValueError as error:
            raise ValueError(as_spelled(str(error), own)) from error

    return Annotated[model, AfterValidator(build)]


def _default_of(field: "Field[object]") -> object:
    if field.default is MISSING and field.default_factory is not MISSING:
        return field.default_factory()
    return field.default


def _field_hints(nested: Any) -> dict[str, object]:
    hints = _hints(nested)
    return {field.name: hints[field.name] for field in fields(nested) if field.init}


def _model(name: str, annotations: Mapping[str, Any], settable: Mapping[str, FieldInfo]) -> type[BaseModel]:
    # A prefix keeps names such as `copy` and `schema` apart from pydantic's own methods.
    definitions: dict[str, Any] = {f"p_{field}": (annotations[field], info) for field, info in settable.items()}
    model: type[BaseModel] = create_model(name, __base__=_Parameters, **definitions)
    return model


def _field(name: str, default: object) -> FieldInfo:
    options: dict[str, Any] = {"alias": camel_case(name)}
    # The default is for the schema only: what is not given is left to the constructor.
    if default is not MISSING:
        plain = _plain(default)
        options |= {"default_factory": lambda: default} if plain is None else {"default": plain}
    info: FieldInfo = pydantic.Field(**options)
    return info


def names_in(arguments: Mapping[str, object]) -> Iterator[str]:
    """The names of the arguments, and of the fields of dataclasses among their values."""
    for name, value in arguments.items():
        yield name
        for item in value if isinstance(value, tuple) else (value,):
            if is_dataclass(item) and not isinstance(item, type):
                yield from names_in({field.name: getattr(item, field.name) for field in fields(item)})


def _without_none(values: Mapping[str, object]) -> dict[str, Value]:
    spelled = {camel_case(name): _plain(value) for name, value in values.items()}
    return {name: value for name, value in spelled.items() if value is not None}


def _plain(value: object) -> Value:
    """A value as YAML can spell it, or None."""
    if isinstance(value, tuple):
        items = [_plain(item) for item in value]
        return None if None in items else items
    if is_dataclass(value) and not isinstance(value, type):
        return _without_none({field.name: getattr(value, field.name) for field in fields(value) if field.init})
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bool | int | str):
        plain: Value = json.loads(json.dumps(value))
        return plain
    return None


def _python_name(field: str) -> str:
    return field.removeprefix("p_")


def _is_enum(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Enum)


def _is_plain_dataclass(annotation: object) -> bool:
    return isinstance(annotation, type) and is_dataclass(annotation)


def _type_name(plugin_type: Callable[..., object]) -> str:
    return getattr(plugin_type, "__name__", type(plugin_type).__name__)
