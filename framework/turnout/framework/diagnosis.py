"""What a plugin says about its own work."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

Figure: TypeAlias = int | float | str | None
"""One value of a diagnosis, as JSON has it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a person should look at.

    ``cause`` is one of a few fixed words of the plugin, fit for a metric's label; ``message`` says what is wrong
    and what to do. ``endpoint`` is the name of the endpoint concerned, empty for all of them.
    """

    cause: str
    message: str
    endpoint: str = ""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """``figures`` holds what was measured, by endpoint name and by figure; ``findings`` what is wrong, if anything."""

    findings: Sequence[Finding] = ()
    figures: Mapping[str, Mapping[str, Figure]] = field(default_factory=lambda: MappingProxyType({}))
