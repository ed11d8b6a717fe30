"""Holds a request back until some engine has room for it in its KV cache.

Theory of operation. An engine that takes more requests than its KV cache holds preempts some and computes them again.
How full a cache is says the engine's page, which is a moment old. What was sent there since is not on it, and neither
is what the engine has accepted and not begun: its waiting requests hold no blocks. Engines begin requests in the order
in which they come, so the dispatches that the page does not contain are the last ones: all those after it was read, and
as many as wait. Their estimates are set aside; older ones are part of what the page says.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

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


@dataclass(frozen=True, slots=True)
class _Dispatch:
    tokens: int
    at: float


class KvRoomGate:
    """Lets a request go when some endpoint has room for it in its KV cache, and a place in its batch.

    A request needs its prompt tokens and its expected output tokens: ``expected_output_tokens``, or what it allows if
    that is less. An endpoint has room for the free share of its cache less ``safety_margin`` of the whole and less
    what was dispatched there and is not yet part of its report. With ``max_running_requests`` above 0 it must also
    have fewer requests than that, running or to run next. Endpoints that report no size of their cache have room.

    A request that is too large for every endpoint, however empty, is not held back: its engine will say why. Where it
    would have to wait it is refused with 413, if not even its prompt fits. The largest cache is known from the last
    request that was next, and unknown again when the pool changes.

    What is remembered is bounded by the requests in flight.

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
        self._max_running_requests = max_running_requests
        self._dispatch_key = StateKey[tuple[int, tuple[str, ...]]]("kv-room-dispatch", producer=name)
        self._numbers = count()
        # By endpoint and number of the dispatch, oldest first; endpoints without any have no entry.
        self._dispatches: dict[str, dict[int, _Dispatch]] = {}
        self._largest_cache: int | None = None

    def fits(self, item: QueuedRequest, endpoints: Sequence[Endpoint], now: float) -> bool:
        sizes = [endpoint.metrics.cache_num_blocks * endpoint.metrics.cache_block_size for endpoint in endpoints]
        self._largest_cache = max(sizes) if sizes and min(sizes) > 0 else None
        needed = self._needed(item.request, item.state)
        if self._largest_cache is not None and needed > self._largest_cache * self._usable_share:
            return True
        return any(self._has_room(endpoint, size, needed) for endpoint, size in zip(endpoints, sizes, strict=True))

    def entry_refusal(self, item: QueuedRequest, outlook: QueueOutlook, now: float) -> Refusal | None:
        largest, prompt_tokens = self._largest_cache, item.state.get(PROMPT, Prompt()).tokens
        if largest is None or prompt_tokens <= largest:
            return None
        message = f"the prompt has about {prompt_tokens} tokens; the largest KV cache of an endpoint holds {largest}"
        return Refusal(RefusalKind.TOO_LARGE, message)

    def endpoints_changed(self, endpoints: Sequence[Endpoint]) -> None:
        """Forgets how large the largest cache is."""
        self._largest_cache = None

    def pre_request(self, request: InferenceRequest, state: CycleState, result: SchedulingResult) -> None:
        """Sets the request's tokens aside at the destination and at the first endpoint of every other profile."""
        others = (profile.picked[0].name for profile in result.profiles.values())
        names = tuple(dict.fromkeys((result.endpoint.name, *others)))
        number, dispatch = next(self._numbers), _Dispatch(self._needed(request, state), state.now)
        for name in names:
            self._dispatches.setdefault(name, {})[number] = dispatch
        state.write(self._dispatch_key, (number, names))

    def response_complete(self, request: InferenceRequest, state: CycleState, completion: Completion) -> None:
        """The request holds nothing any more."""
        number, names = state.get(self._dispatch_key, (-1, ()))
        for name in names:
            dispatches = self._dispatches.get(name, {})
            dispatches.pop(number, None)
            if not dispatches:
                self._dispatches.pop(name, None)

    def _needed(self, request: InferenceRequest, state: CycleState) -> int:
        allowed, expected = request.max_output_tokens, self._expected_output_tokens
        output = expected if allowed is None else max(0, min(allowed, expected))
        return max(0, state.get(PROMPT, Prompt()).tokens) + output

    def _has_room(self, endpoint: Endpoint, size: int, needed: int) -> bool:
        unreported = self._unreported(endpoint)
        if self._is_busy(endpoint, len(unreported)):
            return False
        if size <= 0:
            return True
        free = size * (self._usable_share - endpoint.metrics.kv_cache_utilization)
        return needed + sum(unreported) <= free

    def _is_busy(self, endpoint: Endpoint, unreported: int) -> bool:
        metrics = endpoint.metrics
        to_run = metrics.running_requests + max(metrics.waiting_queue_size, unreported)
        return 0 < self._max_running_requests <= to_run

    def _unreported(self, endpoint: Endpoint) -> list[int]:
        """The tokens of each dispatch that the endpoint's report does not contain, latest first."""
        found: list[int] = []
        reported_at = endpoint.metrics.observed_at.get("kv_cache_utilization", float("-inf"))
        for dispatch in reversed(self._dispatches.get(endpoint.name, {}).values()):
            if dispatch.at < reported_at and len(found) >= endpoint.metrics.waiting_queue_size:
                break
            found.append(dispatch.tokens)
        return found
