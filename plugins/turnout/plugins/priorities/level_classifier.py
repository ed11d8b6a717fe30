"""Gives requests the priority level that they ask for, as far as their key allows it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from turnout.framework import (
    DEFAULT_FAIRNESS_ID,
    REQUEST_BODY,
    Classification,
    CounterReading,
    CycleState,
    InferenceRequest,
    Reading,
    Refusal,
    RefusalKind,
)
from turnout.plugins.priorities.clients import ClientKeys, LevelClient
from turnout.plugins.priorities.levels import DEFAULT_LEVELS, LevelTable, PriorityLevel
from turnout.plugins.priorities.stated import StatedLevel

OnProblem = Literal["default", "refuse"]


class PriorityLevelClassifier:
    """Gives each request one of the configured levels: its priority, name and targets.

    The level is stated in the request header ``header`` or, without one, in the top-level field ``body_field`` of the
    JSON body, there as a name or as the priority of a level. A request that states none is of the level ``default``,
    unless an earlier classifier has given it a level or a priority. A level that is not known counts as ``default``
    with ``on_unknown: default``; with ``refuse`` the request gets 400.

    Who may use a level: a level whose priority is above that of ``default`` only a client whose key, in the header
    ``key_header``, is that of an entry of ``clients`` which lists it. Levels not above it are free to all, unless
    ``require_key`` is true: then they have to be listed, too, and only ``default`` is free. Without ``clients``
    nobody may use a level above the default one, unless ``require_key`` is stated to be false: then everybody may use
    any. A level that is not allowed counts as ``default`` with ``on_forbidden: default``; with ``refuse`` the request
    gets 403.

    A client's ``fairness_id`` is the flow of its requests that state none. With ``trust_fairness_header`` false it is
    that of all of them, whatever they state, and requests without such a client are in the default flow.

    Raises:
        ValueError: a level that is named does not exist, ``require_key`` is true without ``clients``, or what
            ``LevelTable``, ``StatedLevel`` and ``ClientKeys`` refuse.
    """

    optional_reads = (REQUEST_BODY,)

    def __init__(
        self,
        header: str = "x-priority-level",
        body_field: str = "",
        levels: Mapping[str, PriorityLevel] = DEFAULT_LEVELS,
        default: str = "normal",
        clients: Sequence[LevelClient] = (),
        key_header: str = "authorization",
        require_key: bool | None = None,
        on_forbidden: OnProblem = "default",
        on_unknown: OnProblem = "default",
        trust_fairness_header: bool = True,
    ) -> None:
        if require_key and not clients:
            raise ValueError("require_key must not be true without clients, got no clients")
        self._levels = LevelTable(levels)
        self._default = self._levels.referred_to("default", default)
        self._stated = StatedLevel(header, body_field)
        self._keys = ClientKeys(clients, key_header)
        self._listed = {client.name: _listed(self._levels, client, at) for at, client in enumerate(clients)}
        self._free = self._free_levels(require_key, bool(clients))
        self._refuses_forbidden = on_forbidden == "refuse"
        self._refuses_unknown = on_unknown == "refuse"
        self._trusts_fairness_header = trust_fairness_header
        self._classifications = {name: self._levels.classification(name) for name in self._levels}
        self._requests = dict.fromkeys(self._levels, 0)
        self._forbidden = 0
        self._unknown = 0

    def classify(self, request: InferenceRequest, state: CycleState) -> Classification | Refusal:
        client = self._keys.client_of(request.headers)
        flow = self._flow(request, client)
        stated = self._stated.of(request, state)
        if stated is None and (request.level or request.priority):
            return Classification(fairness_id=flow)
        level = self._default if stated is None else self._judged(stated, client)
        if isinstance(level, Refusal):
            return level
        self._requests[level] += 1
        return replace(self._classifications[level], fairness_id=flow)

    def readings(self) -> Iterable[Reading]:
        """Requests by level, and what was asked for in vain."""
        for level, count in self._requests.items():
            help_text = "Requests by the priority level that they were given."
            yield CounterReading("priority_level_requests_total", help_text, count, {"level": level})
        help_text = "Requests for a priority level that their key does not allow."
        yield CounterReading("priority_level_forbidden_total", help_text, self._forbidden)
        help_text = "Requests for a priority level that does not exist, or for several at once."
        yield CounterReading("priority_level_unknown_total", help_text, self._unknown)

    def _judged(self, stated: str | int, client: LevelClient | None) -> str | Refusal:
        """The level that a request which states one gets."""
        named = self._levels.named(stated) if isinstance(stated, str) else self._levels.of_priority(stated)
        if named is None:
            self._unknown += 1
            known = f"the priority level is not known; there are: {', '.join(self._levels)}"
            return Refusal(RefusalKind.BAD_REQUEST, known) if self._refuses_unknown else self._default
        if named not in self._free and (client is None or named not in self._listed[client.name]):
            self._forbidden += 1
            denied = f"the priority level {named} is not allowed for this client"
            return Refusal(RefusalKind.FORBIDDEN, denied) if self._refuses_forbidden else self._default
        return named

    def _free_levels(self, require_key: bool | None, has_clients: bool) -> frozenset[str]:
        if require_key:
            return frozenset({self._default})
        if require_key is False and not has_clients:
            return frozenset(self._levels)
        bound = self._levels.priority(self._default)
        return frozenset(name for name in self._levels if self._levels.priority(name) <= bound)

    def _flow(self, request: InferenceRequest, client: LevelClient | None) -> str | None:
        own = client.fairness_id if client is not None else ""
        if not self._trusts_fairness_header:
            return own or DEFAULT_FAIRNESS_ID
        return own if own and request.fairness_id == DEFAULT_FAIRNESS_ID else None


def _listed(levels: LevelTable, client: LevelClient, position: int) -> frozenset[str]:
    return frozenset(levels.referred_to(f"clients[{position}].levels", name) for name in client.levels)
