"""One LLM request as plugins see it."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from turnout.framework.state import StateKey

DEFAULT_FAIRNESS_ID = "default-flow"

TTFT_TARGET_HEADERS = ("x-llm-d-slo-ttft-ms", "x-slo-ttft-ms")
TPOT_TARGET_HEADERS = ("x-llm-d-slo-tpot-ms", "x-slo-tpot-ms")
"""Request headers with targets in milliseconds, the preferred name first."""

COST_BUDGET_HEADERS = ("x-turnout-cost-budget", "x-cost-budget", "cost_budget")
"""Request headers that say what the request may cost at most, the preferred name first."""


class Headers:
    """Request or response headers: lower-case names, several values per name, original order, immutable."""

    __slots__ = ("_items", "_values")

    def __init__(self, items: Iterable[tuple[str, str]] = ()) -> None:
        self._items = tuple((name.lower(), value) for name, value in items)
        values: dict[str, list[str]] = {}
        for name, value in self._items:
            values.setdefault(name, []).append(value)
        self._values = values

    def get(self, *names: str) -> str | None:
        """The first value of the first of these names that is present, or None."""
        for name in names:
            values = self._values.get(name)
            if values is not None:
                return values[0]
        return None

    def all(self, name: str) -> tuple[str, ...]:
        """Every value of a name in order of arrival."""
        return tuple(self._values.get(name, ()))

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        return f"Headers({sorted(self._values)})"


@dataclass(frozen=True, slots=True)
class Prompt:
    """The part of a request that the engine reads, as bytes whose common prefix means a common prompt prefix.

    ``data`` is the raw JSON of the prompt or of the messages without its closing bracket, so that a
    conversation with one more turn starts with the bytes of the one before; tools and instructions, which
    engines read first, come before it. ``tokens`` is the number of prompt tokens: exact when the client sent token
    ids, an estimate otherwise. ``salt`` separates caches that must not be shared (``cache_salt``).
    """

    data: bytes = b""
    tokens: int = 0
    salt: str = ""


PROMPT: StateKey[Prompt] = StateKey("prompt", producer="")
"""Written by the request handler before any plugin runs, when the request has a body that a parser understands."""

REQUEST_BODY: StateKey[bytes] = StateKey("request-body", producer="")
"""The whole body as the client sent it; there from before any plugin runs until the decision, when it is dropped."""


@dataclass(frozen=True, slots=True)
class InferenceRequest:
    """What is known of a request before scheduling. Immutable; what plugins learn goes into the state.

    ``received_at`` is in seconds on the same clock as ``CycleState.now``; of a request that was deferred it is when it
    began to stand in line. ``size_bytes`` is the length of the body. ``model`` is what the client asked for,
    ``target_model`` what will be asked of the engine. ``level`` is the name of the priority level, empty if it has
    none. ``ttft_target`` and ``tpot_target`` are in seconds, None without a target. ``answers`` is how many are asked
    for at once, each of at most ``max_output_tokens``.
    """

    request_id: str
    model: str = ""
    target_model: str = ""
    path: str = "/"
    headers: Headers = field(default_factory=Headers)
    priority: int = 0
    objective: str = ""
    fairness_id: str = DEFAULT_FAIRNESS_ID
    stream: bool = False
    max_output_tokens: int | None = None
    size_bytes: int = 0
    received_at: float = 0.0
    level: str = ""
    ttft_target: float | None = None
    tpot_target: float | None = None
    answers: int = 1

    def output_tokens(self, expected: int) -> int:
        """Tokens of an answer: ``expected``, or what the request allows if that is less."""
        allowed = self.max_output_tokens
        return expected if allowed is None else max(0, min(allowed, expected))


def target_seconds(headers: Headers, names: tuple[str, ...]) -> float | None:
    """The target that the first of these headers states, in seconds; None unless it is a number above 0."""
    stated = headers.get(*names)
    try:
        # Longer than any number that a client means.
        milliseconds = float(stated[:32]) if stated else math.nan
    except ValueError:
        return None
    return milliseconds / 1000.0 if 0.0 < milliseconds < math.inf else None
