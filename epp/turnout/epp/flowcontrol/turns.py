"""Who is next, given how full the pool is.

In one lane the highest effective priority is looked at alone: while it is held back, so are those below, that a high
priority never waits for room that a low one takes. An overdue request comes before all of them and is held back only
where the highest priority would be. Lanes do not hold back each other.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from turnout.epp.flowcontrol.entry import Entry
from turnout.epp.flowcontrol.lane import Lane
from turnout.epp.flowcontrol.policies import Policies
from turnout.framework import Endpoint


@dataclass(frozen=True, slots=True)
class LaneView:
    """The endpoints that can serve a lane, and how saturated they are."""

    endpoints: Sequence[Endpoint]
    saturation: float


@dataclass(frozen=True, slots=True)
class Held:
    """A lane whose next request is held back. ``ceiling`` is the saturation at which its priority is."""

    lane: str
    priority: int
    saturation: float
    ceiling: float


def next_turn(lanes: Iterable[tuple[Lane, LaneView]], policies: Policies, now: float) -> Entry | Sequence[Held]:
    """The entry to dispatch, or what is held back in each lane that has requests.

    Of several lanes the one with the longest overdue request goes first, then the one with the highest effective
    priority, then the one whose next request has waited longest.
    """
    best: Entry | None = None
    held: list[Held] = []
    for lane, view in lanes:
        found = _next_of(lane, view, policies, now)
        if isinstance(found, Held):
            held.append(found)
        elif best is None or _turn(found, now) < _turn(best, now):
            best = found
    return held if best is None else best


def _next_of(lane: Lane, view: LaneView, policies: Policies, now: float) -> Entry | Held:
    highest = lane.highest
    ceiling, top = policies.ceilings(view.saturation, highest)
    overdue = lane.first_overdue()
    entry = overdue or lane.band(highest).next(now)
    if overdue is not None:
        ceiling = top
    open_to_it = entry is not None and view.endpoints and view.saturation < ceiling
    if entry is None or not open_to_it or not policies.fits(entry, view.endpoints, now):
        return Held(lane.name, highest, view.saturation, ceiling)
    return entry


def _turn(entry: Entry, now: float) -> tuple[bool, float, int, int]:
    is_overdue = entry.overdue_at <= now
    return (not is_overdue, entry.overdue_at if is_overdue else 0.0, -entry.band, entry.sequence)
