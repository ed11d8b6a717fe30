"""Priority levels by name."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType

from turnout.framework import Classification
from turnout.plugins.priorities.targets import check_priority, target_of

# Clients state levels; nothing that is longer can be one.
MAX_LEVEL_CHARACTERS = 64

_ALIASES = {"medium": "normal"}


@dataclass(frozen=True, slots=True)
class PriorityLevel:
    """What the requests of one level are; absent targets leave the request's own.

    Raises:
        ValueError: the priority has more than 32 bits, or a target is not positive.
    """

    priority: int
    ttft_target: timedelta | None = None
    tpot_target: timedelta | None = None

    def __post_init__(self) -> None:
        check_priority("priority", self.priority)
        target_of("ttft_target", self.ttft_target)
        target_of("tpot_target", self.tpot_target)


DEFAULT_LEVELS: Mapping[str, PriorityLevel] = MappingProxyType(
    {
        "critical": PriorityLevel(100),
        "high": PriorityLevel(50),
        "normal": PriorityLevel(0),
        "low": PriorityLevel(-50),
        "background": PriorityLevel(-100),
    }
)


class LevelTable:
    """The configured levels; names are matched without regard to case, and ``medium`` is another word for ``normal``.

    Raises:
        ValueError: no level, a name that is empty or has more than 64 characters, or two that differ only in case.
    """

    def __init__(self, levels: Mapping[str, PriorityLevel]) -> None:
        if not levels:
            raise ValueError("levels must have at least one level, got none")
        for name in levels:
            if not 0 < len(name) <= MAX_LEVEL_CHARACTERS:
                raise ValueError(f"levels must have names of 1 to {MAX_LEVEL_CHARACTERS} characters, got {name!r}")
        self._levels = dict(levels)
        self._names: dict[str, str] = {}
        for name in levels:
            other = self._names.setdefault(name.casefold(), name)
            if other != name:
                raise ValueError(f"levels must have names that differ not only in case, got {other!r} and {name!r}")
        for alias, name in _ALIASES.items():
            if name in self._names:
                self._names.setdefault(alias, self._names[name])
        self._by_priority: dict[int, str] = {}
        for name, level in levels.items():
            self._by_priority.setdefault(level.priority, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._levels)

    def named(self, text: str) -> str | None:
        """The configured name of the level that the text means, or None."""
        return self._names.get(text.casefold()) if len(text) <= MAX_LEVEL_CHARACTERS else None

    def of_priority(self, priority: int) -> str | None:
        """The name of the first level with exactly this priority, or None."""
        return self._by_priority.get(priority)

    def referred_to(self, parameter: str, name: str) -> str:
        """The configured name of a level that another parameter names.

        Raises:
            ValueError: there is no such level.
        """
        found = self.named(name)
        if found is None:
            raise ValueError(f"{parameter} must be one of {', '.join(self)}, got {name!r}")
        return found

    def priority(self, name: str) -> int:
        """The priority of a level by its configured name."""
        return self._levels[name].priority

    def classification(self, name: str) -> Classification:
        """What a classifier says of requests of this level."""
        level = self._levels[name]
        return Classification(
            level.priority,
            name,
            ttft_target=target_of("ttft_target", level.ttft_target),
            tpot_target=target_of("tpot_target", level.tpot_target),
        )
