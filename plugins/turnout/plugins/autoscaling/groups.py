"""Which endpoints are scaled together, and what comes to them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from turnout.framework import Endpoint
from turnout.plugins.autoscaling.decision import Decision
from turnout.plugins.inflight_load.keys import TokenLoad

MAX_GROUPS = 64

# A group that was scaled to nothing comes back; one that was renamed does not.
FORGET_SECONDS = 3_600.0

ARRIVAL_MEMORY_SECONDS = 60.0


class Arrivals:
    """How many prompt tokens come per second, from a total that grows; of about the last minute."""

    __slots__ = ("_at", "_known", "per_second")

    def __init__(self) -> None:
        self.per_second = 0.0
        self._at: float | None = None
        self._known: Mapping[str, int] = {}

    def see(self, totals: Mapping[str, int], now: float) -> None:
        """Takes the totals of the endpoints at this moment; one that starts anew counts from 0."""
        if self._at is not None and now > self._at:
            grown = sum(
                total - known if total >= (known := self._known.get(name, 0)) else total
                for name, total in totals.items()
            )
            elapsed = now - self._at
            kept = math.exp(-elapsed / ARRIVAL_MEMORY_SECONDS)
            self.per_second = self.per_second * kept + grown / elapsed * (1.0 - kept)
        if self._at is None or now > self._at:
            self._at, self._known = now, totals


@dataclass(slots=True)
class Group:
    """Endpoints that are scaled together: those of them that are there, and what was decided, by basis."""

    name: str
    seen_at: float
    endpoints: Sequence[Endpoint] = ()
    decisions: dict[str, Decision] = field(default_factory=dict)
    arrivals: Arrivals = field(default_factory=Arrivals)


class Groups:
    """Groups by the value of a label, or one of the whole pool without a label.

    At most 64; of more, those that were there first stay. A group without endpoints is kept for an hour, and for ever
    if it is one of ``stated``.

    Raises:
        ValueError: groups are stated without a label, or more than 64, or one of them has no name.
    """

    def __init__(self, label: str, stated: Sequence[str] = ()) -> None:
        if stated and not (label and all(stated) and len(stated) <= MAX_GROUPS):
            bound = f"at most {MAX_GROUPS} values of group_label, none of them empty"
            raise ValueError(f"groups must be {bound}, got {list(stated)!r}")
        self._label = label
        self._groups = {name: Group(name, math.inf) for name in (stated if label else ("",))}
        self.left_out = 0
        """How many groups there were no place for, the last time."""

    def update(self, endpoints: Sequence[Endpoint], now: float) -> Sequence[Group]:
        """The groups with their present endpoints, by name."""
        members: dict[str, list[Endpoint]] = {}
        for endpoint in endpoints:
            members.setdefault(endpoint.labels.get(self._label, "") if self._label else "", []).append(endpoint)
        for group in list(self._groups.values()):
            group.endpoints = members.pop(group.name, ())
            if group.endpoints:
                group.seen_at = max(group.seen_at, now)
            elif now - group.seen_at >= FORGET_SECONDS:
                del self._groups[group.name]
        for name in sorted(members)[: MAX_GROUPS - len(self._groups)]:
            self._groups[name] = Group(name, now, members.pop(name))
        self.left_out = len(members)
        return sorted(self._groups.values(), key=lambda group: group.name)


def shares_of_waiting(groups: Sequence[Group], load: TokenLoad) -> Mapping[str, float]:
    """The tokens that wait in flow control, for each group.

    What waits for a model goes to the group that is named after it. The rest is shared out by the number of endpoints,
    or evenly while there are none.
    """
    waiting = load.waiting_tokens()
    names = {group.name for group in groups}
    rest = sum(tokens for model, tokens in waiting.items() if model not in names or not model)
    all_endpoints = sum(len(group.endpoints) for group in groups)
    shares: dict[str, float] = {}
    for group in groups:
        part = len(group.endpoints) / all_endpoints if all_endpoints else 1.0 / len(groups)
        own = waiting.get(group.name, 0) if group.name else 0
        shares[group.name] = own + rest * part
    return shares


def rate_of(endpoints: Sequence[Endpoint], load: TokenLoad) -> float:
    """Tokens per second of one endpoint, on average; of an absent group, what is assumed of one that is not known."""
    rates = [load.tokens_per_second(endpoint.name) for endpoint in endpoints] or [load.tokens_per_second("")]
    return sum(rates) / len(rates)
