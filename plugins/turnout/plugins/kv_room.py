"""Holds a request back until some engine has room for it in its KV cache.

Theory of operation. An engine that takes more requests than its KV cache holds preempts some and computes them again.
How full a cache is says the engine's page, which is a moment old. What was sent there since is not on it, and neither
is what the engine has accepted and not begun: its waiting requests hold no blocks. Engines begin requests in the order
in which they come, so the dispatches that the page does not contain are the last ones: all those after it was read, and
as many as wait (the snapshot counts those that the engine has not reported as waiting). Their estimates are set aside;
older ones are part of what the page says.

Between the moment when a request is let go and its dispatch it is not known where it will be sent. It counts at the
endpoint that has most room, so that a place that becomes free is not given to all that wait for it.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import heapify, heapreplace
from itertools import count
from typing import NamedTuple

from turnout.framework import (
    PROMPT,
    Completion,
    CycleState,
    Endpoint,
    InferenceRequest,
    PluginName,
    Prompt,
    QueuedRequest,
    QueueOutlook,
    Refusal,
    RefusalKind,
    SchedulingResult,
    StateKey,
)

DEFAULT_NAME = PluginName("kv-room-gate")

# Longer than data producers take. A request that is not sent by then has been lost on the way.
MAX_SECONDS_TO_DISPATCH = 30.0


@dataclass(frozen=True, slots=True)
class _Demand:
    """The tokens that a request was expected to need, and since when it counts."""

    tokens: int
    at: float


class _Room(NamedTuple):
    """What is free at an endpoint. Negated, so that the least of a heap is the one with most room."""

    minus_tokens: float
    minus_places: float

    def holds(self, tokens: int) -> bool:
        return tokens <= -self.minus_tokens and self.minus_places <= -1

    def without(self, tokens: int) -> "_Room":
        return _Room(self.minus_tokens + tokens, self.minus_places + 1)


class KvRoomGate:
    """Lets a request go when some endpoint has room for it in its KV cache, and a place in its batch.

    A request needs its prompt tokens and its expected output tokens: ``expected_output_tokens``, or what it allows if
    that is less. An endpoint has room for the free share of its cache less ``safety_margin`` of the whole and less
    what was dispatched there and is not yet part of its report. With ``max_running_requests`` above 0 it must also
    have fewer requests than that, running or to run next. Endpoints that report no size of their cache have room.

    As a filter of a profile it keeps the endpoints that have room, or all if none has: otherwise the scheduler may
    send a request elsewhere than where the gate has seen room.

    A request that is too large for every endpoint, however empty, is not held back: its engine will say why. Where it
    would have to wait it is refused with 413, if not even its prompt fits. The largest cache is known from the last
    request that was next, and unknown again when the pool changes.

    What is remembered is bounded by the requests in flight, and those on their way to their dispatch, for 30 s each.

    Raises:
        ValueError: ``expected_output_tokens`` or ``max_running_requests`` is negative, or ``safety_margin`` is not
            within [0, 1).
    """

    optional_reads = (PROMPT,)

    def __init__(
        self,
        expected_output_tokens: int = 256,
        safety_margin: float = 0.05,
        max_running_requests: int = 0,
        name: PluginName = DEFAULT_NAME,
    ) -> None:
        if expected_output_tokens < 0:
            raise ValueError(f"expected_output_tokens must be at least 0, got {expected_output_tokens}")
        if not 0.0 <= safety_margin < 1.0:
            raise ValueError(f"safety_margin must be within [0, 1), got {safety_margin}")
        if max_running_requests < 0:
            raise ValueError(f"max_running_requests must be at least 0, got {max_running_requests}")
        self._expected_output_tokens = expected_output_tokens
        self._usable_share = 1.0 - safety_margin
        self._max_running_requests = max_running_requests or math.inf
        self._let_go_key = StateKey[int]("kv-room-let-go", producer=name)
        self._dispatch_key = StateKey[tuple[int, tuple[str, ...]]]("kv-room-dispatch", producer=name)
        self._numbers = count()
        # By number, oldest first: those let go and not sent yet, and by endpoint those sent and not ended.
        self._let_go: dict[int, _Demand] = {}
        self._dispatches: dict[str, dict[int, _Demand]] = {}
        self._largest_cache: int | None = None

    # --- before the dispatch -----------------------------------------------------------------------------

    def fits(self, item: QueuedRequest, endpoints: Sequence[Endpoint], now: float) -> bool:
        sizes = [_cache_tokens(endpoint) for endpoint in endpoints]
        self._largest_cache = max(sizes) if sizes and min(sizes) > 0 else None
        needed = self._needed(item.request, item.state)
        if self._largest_cache is not None and needed > self._largest_cache * self._usable_share:
            return True
        rooms = [self._room(endpoint) for endpoint in endpoints]
        return any(room.holds(needed) for room in self._without_those_let_go(rooms, now))

    def request_dispatched(self, item: QueuedRequest, priority: int, now: float) -> None:
        """Counts a request that was let go, until it is sent or refused."""
        number = next(self._numbers)
        self._let_go[number] = _Demand(self._needed(item.request, item.state), now)
        item.state.write(self._let_go_key, number)

    def entry_refusal(self, item: QueuedRequest, outlook: QueueOutlook, now: float) -> Refusal | None:
        largest, prompt_tokens = self._largest_cache, item.state.get(PROMPT, Prompt()).tokens
        if largest is None or prompt_tokens <= largest:
            return None
        message = f"the prompt has about {prompt_tokens} tokens; the largest KV cache of an endpoint holds {largest}"
        return Refusal(RefusalKind.TOO_LARGE, message)

    def endpoints_changed(self, endpoints: Sequence[Endpoint]) -> None:
        """Forgets how large the largest cache is."""
        self._largest_cache = None

    def filter(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        needed = self._needed(request, state)
        return [endpoint for endpoint in endpoints if self._room(endpoint).holds(needed)] or endpoints

    # --- from the dispatch to the end --------------------------------------------------------------------

    def pre_request(self, request: InferenceRequest, state: CycleState, result: SchedulingResult) -> None:
        """Sets the request's tokens aside at the destination and at the first endpoint of every other profile."""
        self._let_go.pop(state.get(self._let_go_key, -1), None)
        others = (profile.picked[0].name for profile in result.profiles.values())
        names = tuple(dict.fromkeys((result.endpoint.name, *others)))
        number, demand = next(self._numbers), _Demand(self._needed(request, state), state.now)
        for name in names:
            self._dispatches.setdefault(name, {})[number] = demand
        state.write(self._dispatch_key, (number, names))

    def request_refused(self, request: InferenceRequest, state: CycleState, refusal: Refusal) -> None:
        """The request will not be sent."""
        self._let_go.pop(state.get(self._let_go_key, -1), None)

    def response_complete(self, request: InferenceRequest, state: CycleState, completion: Completion) -> None:
        """The request holds nothing any more."""
        number, names = state.get(self._dispatch_key, (-1, ()))
        for name in names:
            dispatches = self._dispatches.get(name, {})
            dispatches.pop(number, None)
            if not dispatches:
                self._dispatches.pop(name, None)

    # --- the arithmetic ----------------------------------------------------------------------------------

    def _needed(self, request: InferenceRequest, state: CycleState) -> int:
        return max(0, state.get(PROMPT, Prompt()).tokens) + request.output_tokens(self._expected_output_tokens)

    def _room(self, endpoint: Endpoint) -> _Room:
        metrics, unreported = endpoint.metrics, self._unreported(endpoint)
        to_run = metrics.running_requests + max(metrics.waiting_queue_size, len(unreported))
        size = _cache_tokens(endpoint)
        if size <= 0:
            return _Room(-math.inf, to_run - self._max_running_requests)
        free = size * (self._usable_share - metrics.kv_cache_utilization)
        return _Room(sum(unreported) - free, to_run - self._max_running_requests)

    def _unreported(self, endpoint: Endpoint) -> list[int]:
        """The tokens of each dispatch that the endpoint's report does not contain, latest first."""
        found: list[int] = []
        reported_at = endpoint.metrics.observed_at.get("kv_cache_utilization", -math.inf)
        for dispatch in reversed(self._dispatches.get(endpoint.name, {}).values()):
            if dispatch.at < reported_at and len(found) >= endpoint.metrics.waiting_queue_size:
                break
            found.append(dispatch.tokens)
        return found

    def _without_those_let_go(self, rooms: list[_Room], now: float) -> Iterable[_Room]:
        """What is left when each request that is on its way takes the largest room."""
        lost = [number for number, demand in self._let_go.items() if now - demand.at > MAX_SECONDS_TO_DISPATCH]
        for number in lost:
            del self._let_go[number]
        if rooms and self._let_go:
            heapify(rooms)
            for demand in sorted((demand.tokens for demand in self._let_go.values()), reverse=True):
                heapreplace(rooms, rooms[0].without(demand))
        return rooms


def _cache_tokens(endpoint: Endpoint) -> int:
    """The size of an endpoint's KV cache in tokens; 0 if it does not report it."""
    return endpoint.metrics.cache_num_blocks * endpoint.metrics.cache_block_size
