"""Lets a request go before earlier ones of its flow if more of its prompt is known."""

from datetime import timedelta

from turnout.framework import PROMPT, CycleState, InferenceRequest, QueuedRequest, SchedulingResult
from turnout.plugins.token_fairness.known_prefixes import KnownPrefixes
from turnout.plugins.token_fairness.parameters import within

DEFAULT_MAX_ADVANCE = timedelta(seconds=5)


class LongestPrefixOrderingPolicy:
    """Orders by time of arrival, less ``max_advance`` times the share of the prompt that is known.

    So a request goes before one that came earlier only if it came less than ``max_advance`` after it, and equals go by
    arrival: whoever waits is overtaken by nobody who came that much later, whatever the prompts.

    Known is what the prompt has in common with the beginning of one that was sent to an endpoint before this one came:
    in blocks of ``block_bytes`` bytes, of each prompt the first ``max_blocks``, of all the latest ``known_blocks``
    (about 150 bytes each). It is looked up when the request comes in and not again.

    Raises:
        ValueError: a parameter is out of its range.
    """

    optional_reads = (PROMPT,)

    def __init__(
        self,
        max_advance: timedelta = DEFAULT_MAX_ADVANCE,
        block_bytes: int = 1024,
        max_blocks: int = 128,
        known_blocks: int = 65_536,
    ) -> None:
        within("max_advance", max_advance.total_seconds(), 0.0, 3600.0)
        self._max_advance = max_advance.total_seconds()
        self._prefixes = KnownPrefixes(block_bytes, max_blocks, known_blocks)

    def rank(self, item: QueuedRequest, now: float) -> float:
        return item.enqueued_at - self._max_advance * self._prefixes.of(item.request, item.state).share

    def pre_request(self, request: InferenceRequest, state: CycleState, result: SchedulingResult) -> None:
        """Remembers the prompt of a request that goes to an endpoint, also of one that did not wait."""
        self._prefixes.remember(request, state)
