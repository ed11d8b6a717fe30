"""What one request costs at an endpoint: expected, at most, and in the end.

Theory of operation. A price of tokens is multiplied with tokens. A price of an endpoint's time is multiplied with how
much of that time the request takes from others, as predicted; where nothing is predicted, with its tokens by the rates
at which an endpoint computes and generates them. When the request has ended, the same share of time is scaled by the
tokens that it really had, and it is never more than the time that passed: no request can take more of an endpoint than
all of it.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from turnout.framework import KeyFamily, Usage
from turnout.plugins.cost.keys import DEFAULT_PRODUCER
from turnout.plugins.cost.prices import SECONDS_PER_HOUR, TOKENS_PER_PRICE, HourPrice, Price, TokenPrice
from turnout.plugins.inflight_load.keys import UncachedRequestTokens
from turnout.plugins.latency.keys import LatencyPredictions


@dataclass(frozen=True, slots=True)
class Rates:
    """How many tokens a whole endpoint computes of prompts, and generates, in a second."""

    prefill: float
    decode: float

    def seconds(self, uncached: float, output: float) -> float:
        """The time that so many tokens take."""
        return uncached / self.prefill + output / self.decode


@dataclass(frozen=True, slots=True)
class Work:
    """The tokens of a request: of its prompt, generated as expected, and generated at most."""

    prompt: int
    output: int
    most_output: int


@dataclass(frozen=True, slots=True)
class Quote:
    """The cost of one request at one endpoint. ``busy_seconds`` is predicted, 0 where nothing is."""

    price: Price
    rates: Rates
    work: Work
    uncached: int
    busy_seconds: float = 0.0

    @property
    def expected(self) -> float:
        """With the expected answer, and what is believed to be cached."""
        return _expected(self.price, self.rates, self.work, self.uncached, self.busy_seconds)

    @property
    def most(self) -> float:
        """With the longest answer, and nothing cached."""
        return max(self.expected, self._cost(self.work.prompt, self.work.prompt, self.work.most_output))

    def settled(self, usage: Usage | None, seconds: float) -> float:
        """In the end, by what the engine says of its tokens, if it does, and the time since the dispatch."""
        if usage is None:
            cost = self.expected
        else:
            prompt, output = _believable(usage.prompt_tokens), _believable(usage.completion_tokens)
            cached = usage.cached_tokens
            if cached is None:
                cached = self.work.prompt - self.uncached
            cost = self._cost(prompt, max(0, prompt - max(0, cached)), output)
        if isinstance(self.price, HourPrice):
            cost = min(cost, self.price.per_hour / SECONDS_PER_HOUR * max(0.0, seconds))
        return cost

    def _cost(self, prompt: int, uncached: int, output: int) -> float:
        if isinstance(self.price, HourPrice):
            return self.price.per_hour / SECONDS_PER_HOUR * self._busy(uncached, output)
        return _by_tokens(self.price, prompt, uncached, output)

    def _busy(self, uncached: int, output: int) -> float:
        seconds = self.rates.seconds(uncached, output)
        if not self.busy_seconds:
            return seconds
        expected = self.rates.seconds(self.uncached, self.work.output)
        return self.busy_seconds * (seconds / expected if expected else 1.0)


@dataclass(frozen=True, slots=True)
class Quotes:
    """The quotes of one request, made when they are asked for. ``prices`` are by endpoint name."""

    prices: Mapping[str, Price]
    rates: Rates
    work: Work
    uncached: UncachedRequestTokens
    predictions: LatencyPredictions

    def at(self, endpoint_name: str) -> Quote | None:
        """The quote for an endpoint; None if its price is not known."""
        price = self.prices.get(endpoint_name)
        if price is None:
            return None
        return Quote(price, self.rates, self.work, self._uncached(endpoint_name), self._busy(endpoint_name))

    def expected_costs(self) -> dict[str, float]:
        """What the quotes expect, by endpoint name. Without the quotes themselves, for they are many."""
        rates, work, uncached, busy = self.rates, self.work, self._uncached, self._busy
        return {name: _expected(price, rates, work, uncached(name), busy(name)) for name, price in self.prices.items()}

    def only_of(self, endpoint_names: Collection[str]) -> "Quotes":
        """The same quotes for these endpoints, without what the others' were made of."""
        prices = {name: price for name, price in self.prices.items() if name in endpoint_names}
        predictions = {name: each for name, each in self.predictions.items() if name in endpoint_names}
        return replace(self, prices=prices, predictions=predictions)

    def _uncached(self, endpoint_name: str) -> int:
        return min(self.uncached.at(endpoint_name), self.work.prompt)

    def _busy(self, endpoint_name: str) -> float:
        prediction = self.predictions.get(endpoint_name)
        if prediction is None or self.work is NOTHING:
            return 0.0
        busy = prediction.busy_seconds
        return busy if 0.0 < busy < MAX_BUSY_SECONDS else 0.0


def _expected(price: Price, rates: Rates, work: Work, uncached: int, busy_seconds: float) -> float:
    if isinstance(price, HourPrice):
        return price.per_hour / SECONDS_PER_HOUR * (busy_seconds or rates.seconds(uncached, work.output))
    return _by_tokens(price, work.prompt, uncached, work.output)


def _by_tokens(price: TokenPrice, prompt: int, uncached: int, output: int) -> float:
    tokens = uncached * price.input + max(0, prompt - uncached) * price.cached_input + output * price.output
    return tokens / TOKENS_PER_PRICE


def _believable(tokens: int) -> int:
    # A number that no float can hold would end the settling half-way.
    return max(0, min(tokens, MAX_TOKENS))


NOTHING = Work(0, 0, 0)
"""A request that an engine answers without computing anything."""

MAX_TOKENS = 10**9
"""Of a prompt or an answer; whoever says more counts with this."""

MAX_BUSY_SECONDS = 1e6
"""A prediction beyond that is none."""

QUOTES: KeyFamily[Quotes] = KeyFamily("cost-quotes", DEFAULT_PRODUCER)
