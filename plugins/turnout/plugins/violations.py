"""Counts what filters prefer and nobody met, of the requests that were sent all the same."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from turnout.framework import CounterReading, CycleState, Endpoint, Reading, SchedulingResult, StateKey

HELP = "Requests sent to an endpoint that does not meet a preferred rule, for nobody did."


class _Dropped(NamedTuple):
    """Rules that none of these endpoints meets."""

    rules: Sequence[str]
    kept: Sequence[Endpoint]


class Violations:
    """The count of each of the ``rules``, at most one of each for a request.

    A filter says what it dropped when it is asked; it counts when the request is dispatched, and only if an endpoint
    that some profile picked first is among those that were kept without the rule. What is remembered until then lives
    with the request.
    """

    def __init__(self, rules: Iterable[str]) -> None:
        self._counts = dict.fromkeys(rules, 0)
        self._key = StateKey[list[_Dropped]]("dropped-rules")

    def dropped(self, state: CycleState, rules: Sequence[str], kept: Sequence[Endpoint]) -> None:
        """None of those that are ``kept`` meets any of the ``rules``."""
        if not rules:
            return
        before = state.get(self._key)
        if before is None:
            state.write(self._key, [_Dropped(rules, kept)])
        else:
            before.append(_Dropped(rules, kept))

    def dispatched(self, state: CycleState, result: SchedulingResult) -> None:
        """Counts for the request what its endpoints do not meet."""
        calls = state.get(self._key)
        if calls is None:
            return
        picked = {profile.picked[0].name for profile in result.profiles.values()}
        violated = {rule for call in calls if _any_of(picked, call.kept) for rule in call.rules}
        for rule in violated:
            self._counts[rule] += 1

    def readings(self) -> Iterable[Reading]:
        """The counts, by rule."""
        for rule, count in self._counts.items():
            yield CounterReading("topology_violations_total", HELP, count, {"rule": rule})


def _any_of(names: set[str], endpoints: Sequence[Endpoint]) -> bool:
    return any(endpoint.name in names for endpoint in endpoints)
