"""Keeps count of the prompt tokens that have to be computed, here and in the queue before."""

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType

from turnout.framework import Endpoint
from turnout.plugins.inflight_load.prefill_queue import PrefillQueues, SentPrompts
from turnout.plugins.inflight_load.prefill_rate import PrefillRates

MAX_MODELS = 256
OTHER_MODELS = ""


class TokenLedger:
    """Implements ``TokenLoad``. Memory: that of the requests on their way, of the endpoints, and of 256 models."""

    def __init__(self, assumed_rate: float) -> None:
        self._queues = PrefillQueues()
        self._rates = PrefillRates(assumed_rate)
        self._sent: dict[str, int] = {}
        self._waiting: dict[str, int] = {}
        self._waiting_view: Mapping[str, int] = MappingProxyType(self._waiting)

    def queued_tokens(self, endpoint: Endpoint, now: float) -> float:
        """What was sent there and is not computed, by the engine's waiting queue size and by its rate."""
        rate = self._rates.of(endpoint.name)
        return self._queues.ahead(endpoint.name, endpoint.metrics.waiting_queue_size, now, rate)

    def tokens_per_second(self, endpoint_name: str) -> float:
        """As measured, or as assumed."""
        return self._rates.of(endpoint_name)

    def sent_tokens(self, endpoint_name: str) -> int:
        """What was sent there since the endpoint came."""
        return self._sent.get(endpoint_name, 0)

    def is_measured(self, endpoint_name: str) -> bool:
        """Whether the endpoint's tokens per second have been measured; if not, they are assumed or those of others."""
        return self._rates.is_measured(endpoint_name)

    def waiting_tokens(self) -> Mapping[str, int]:
        """By target model; a view that stays current."""
        return self._waiting_view

    def sent(self, uncached: Iterable[tuple[str, int]], now: float) -> SentPrompts:
        """One request goes to the endpoints of these names, which have to compute so many tokens of it."""
        prompts = [(name, tokens, self._rates.of(name)) for name, tokens in uncached]
        for name, tokens, _ in prompts:
            self._sent[name] = self._sent.get(name, 0) + tokens
        return self._queues.send(prompts, now)

    def computed(self, sent: SentPrompts) -> None:
        """The request needs no more computing of its prompt; only the first call counts."""
        self._queues.end(sent)

    def observed(self, endpoint: str, tokens: float, seconds: float) -> None:
        """A first token came after so many seconds, in which so many tokens were computed."""
        self._rates.observe(endpoint, tokens, seconds)

    def waits(self, model: str, tokens: int) -> str:
        """A request begins to wait; gives the name under which it counts."""
        name = model if model in self._waiting or len(self._waiting) < MAX_MODELS else OTHER_MODELS
        self._waiting[name] = self._waiting.get(name, 0) + tokens
        return name

    def waits_no_more(self, name: str, tokens: int) -> None:
        """The request that counts under the name goes on, or nowhere."""
        left = self._waiting.get(name, 0) - tokens
        if left > 0:
            self._waiting[name] = left
        else:
            self._waiting.pop(name, None)

    def keep_only(self, endpoints: Collection[str]) -> None:
        """Forgets the endpoints that left."""
        self._rates.keep_only(endpoints)
        for gone in [name for name in self._sent if name not in endpoints]:
            del self._sent[gone]
