"""What happened to one publisher's stream, in numbers."""

from collections.abc import Mapping
from dataclasses import dataclass, field

MAX_UNKNOWN_TAGS = 16
"""Tags that are counted by name; further ones are counted under the empty name."""


@dataclass(slots=True)
class StreamCounters:
    """Totals since the stream was made. ``undecodable`` counts batches by cause, ``unknown_events`` events by tag.

    ``replays`` counts what was asked for, the questions to a quiet publisher included.
    """

    batches: int = 0
    duplicates: int = 0
    gaps: int = 0
    restarts: int = 0
    resets: int = 0
    replays: int = 0
    replay_failures: int = 0
    overflows: int = 0
    undecodable: dict[str, int] = field(default_factory=dict)
    unknown_events: dict[str, int] = field(default_factory=dict)

    def count_undecodable(self, cause: str) -> None:
        """Counts one batch that could not be read."""
        self.undecodable[cause] = self.undecodable.get(cause, 0) + 1

    def count_unknown(self, unknown: Mapping[str, int]) -> None:
        """Counts a batch's events that were skipped."""
        counts = self.unknown_events
        for tag, count in unknown.items():
            name = tag if tag in counts or len(counts) < MAX_UNKNOWN_TAGS else ""
            counts[name] = counts.get(name, 0) + count
