"""What plugins tell at the moment when it happens."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

from turnout.framework.diagnosis import Figure


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened once.

    ``kind`` is one of a few fixed words; ``at`` is in seconds on the clock of ``CycleState.now``; ``data`` are JSON
    values by name. Text that comes from clients may stand in ``data``: whoever shows it makes it printable.
    """

    kind: str
    at: float
    data: Mapping[str, Figure]


Announce: TypeAlias = Callable[[Event], None]


@runtime_checkable
class EventSource(Protocol):
    """A plugin that tells of events as they happen. It keeps none; whoever listens does."""

    def announce_to(self, announce: Announce) -> None:
        """Says whom to tell from now on; called when the plugin is taken into use and again after a reload.

        ``announce`` returns at once, and may be called at any time on the event loop, also after the plugin was
        replaced: requests in flight end on the plugins with which they began.
        """
        ...
