"""Keeps endpoints whose labels match a Kubernetes label selector."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from turnout.framework import CycleState, Endpoint, InferenceRequest

Operator: TypeAlias = Literal["In", "NotIn", "Exists", "DoesNotExist"]


@dataclass(frozen=True, slots=True)
class LabelRequirement:
    """One condition on a label. ``values`` belong to ``In`` and ``NotIn`` only.

    ``NotIn`` and ``DoesNotExist`` hold for an endpoint without the label.
    """

    key: str
    operator: Operator
    values: Sequence[str] = ()


class LabelSelectorFilter:
    """Keeps the endpoints that meet every requirement; a selector without requirements keeps all.

    Raises:
        ValueError: a requirement has an empty key, no values where they are needed, or values where none belong.
    """

    def __init__(
        self,
        match_labels: Mapping[str, str] | None = None,
        match_expressions: Sequence[LabelRequirement] = (),
    ) -> None:
        for position, requirement in enumerate(match_expressions):
            _check(f"match_expressions[{position}]", requirement)
        self._equal = dict(match_labels or {})
        self._requirements = tuple(match_expressions)

    def filter(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        return [endpoint for endpoint in endpoints if self._matches(endpoint.labels)]

    def _matches(self, labels: Mapping[str, str]) -> bool:
        equal = all(labels.get(key) == value for key, value in self._equal.items())
        return equal and all(_holds(requirement, labels) for requirement in self._requirements)


class ByLabel:
    """Keeps the endpoints whose ``label`` has one of the ``valid_values``; with ``allows_no_label`` those without, too.

    Raises:
        ValueError: ``label`` is empty.
    """

    def __init__(self, label: str, valid_values: Sequence[str] = (), allows_no_label: bool = False) -> None:
        if not label:
            raise ValueError(f"label must not be empty, got {label!r}")
        self._label = label
        self._values = frozenset(valid_values)
        self._allows_none = allows_no_label

    def filter(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        return [endpoint for endpoint in endpoints if self._keeps(endpoint.labels.get(self._label))]

    def _keeps(self, value: str | None) -> bool:
        return self._allows_none if value is None else value in self._values


def _holds(requirement: LabelRequirement, labels: Mapping[str, str]) -> bool:
    value = labels.get(requirement.key)
    match requirement.operator:
        case "In":
            return value is not None and value in requirement.values
        case "NotIn":
            return value is None or value not in requirement.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None


def _check(place: str, requirement: LabelRequirement) -> None:
    if not requirement.key:
        raise ValueError(f"{place}.key must not be empty, got {requirement.key!r}")
    needs_values = requirement.operator in {"In", "NotIn"}
    if needs_values != bool(requirement.values):
        bound = "at least one value" if needs_values else "no values"
        values = list(requirement.values)
        raise ValueError(f"{place}.values must have {bound} with operator {requirement.operator}, got {values!r}")
