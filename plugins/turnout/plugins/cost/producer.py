"""Publishes what a request costs at each endpoint."""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Literal

from turnout.framework import (
    PROMPT,
    CycleState,
    Diagnosis,
    Endpoint,
    GaugeReading,
    InferenceRequest,
    PluginName,
    Prompt,
    Reading,
    SchedulingResult,
    WallClock,
)
from turnout.plugins.cost.keys import DEFAULT_PRODUCER, EXPECTED_COSTS, ExpectedCosts
from turnout.plugins.cost.price_book import PriceBook
from turnout.plugins.cost.price_labels import PriceLabels
from turnout.plugins.cost.prices import HourPrice, Price, PriceEntry, checked_price
from turnout.plugins.cost.quotes import MAX_TOKENS, NOTHING, QUOTES, Quotes, Rates, Work
from turnout.plugins.feeds.source import FeedSource
from turnout.plugins.inflight_load.keys import UNCACHED_REQUEST_TOKENS, UncachedRequestTokens
from turnout.plugins.latency.keys import LATENCY_PREDICTIONS

DEFAULT_NAME = PluginName(DEFAULT_PRODUCER)
DEFAULT_LABELS = PriceLabels()
_COMPUTES_NOTHING = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})


class ExpectedCostProducer:
    """Publishes the expected cost of the request at every endpoint whose price is known.

    A price comes from the endpoint's own ``labels``, else from ``price_file``, else from ``prices``; the latter two are
    looked up by the value of its label ``price_label``. All are in ``currency``.

    The cost by a price of tokens is that of the prompt's tokens, cached and not, and of the expected answer. By a price
    of time it is the time of the endpoint that the request is predicted to take from others; without a prediction, its
    uncached tokens / ``prefill_tokens_per_second`` + the expected answer / ``decode_tokens_per_second``, which are the
    rates of the whole endpoint under load. The expected answer has ``expected_output_tokens``, or what the request
    allows if that is less; the longest has what it allows, or ``most_output_tokens``; of several answers (``n``) each
    counts, without a prediction. A GET costs nothing.

    ``unknown_price`` says what an endpoint without a known price gets: the price of the dearest candidate
    (``highest``), no request at all (``excluded``), or a price per hour. A file whose content is older than
    ``price_file_max_age`` (none: any age) is reported and stays in use.

    Raises:
        ValueError: a price, a rate or a number of tokens is out of range, the currency is none or not that of all
            prices, or the file is not good.
    """

    def __init__(
        self,
        currency: str = "USD",
        labels: PriceLabels = DEFAULT_LABELS,
        price_label: str = "instance-type",
        prices: Sequence[PriceEntry] = (),
        price_file: FeedSource | None = None,
        price_file_max_age: timedelta | None = None,
        unknown_price: Literal["highest", "excluded"] | float = "highest",
        expected_output_tokens: int = 256,
        most_output_tokens: int = 4096,
        prefill_tokens_per_second: float = 15928.0,
        decode_tokens_per_second: float = 2000.0,
        predicted_latency_producer_name: str = "",
        in_flight_load_producer_name: str = "",
        wall_clock: WallClock | None = None,
        name: PluginName = DEFAULT_NAME,
    ) -> None:
        rates = {
            "prefill_tokens_per_second": prefill_tokens_per_second,
            "decode_tokens_per_second": decode_tokens_per_second,
        }
        for parameter, value in rates.items():
            if not 1.0 <= value < math.inf:
                raise ValueError(f"{parameter} must be at least 1 and finite, got {value}")
        if not 0 <= expected_output_tokens <= most_output_tokens <= MAX_TOKENS:
            given = f"{expected_output_tokens} and {most_output_tokens}"
            raise ValueError(f"expected_output_tokens must be at least 0 and at most most_output_tokens, got {given}")
        self._unknown = _treatment(unknown_price)
        self._excludes = unknown_price == "excluded"
        self._currency = currency
        self._book = PriceBook(
            currency, labels, price_label, prices, price_file, price_file_max_age, wall_clock or WallClock()
        )
        self._rates = Rates(prefill_tokens_per_second, decode_tokens_per_second)
        self._output_tokens, self._most_output_tokens = expected_output_tokens, most_output_tokens
        self._predictions_key = LATENCY_PREDICTIONS.of(predicted_latency_producer_name)
        self._uncached_key = UNCACHED_REQUEST_TOKENS.of(in_flight_load_producer_name)
        self._costs_key, self._quotes_key = EXPECTED_COSTS.of(name), QUOTES.of(name)
        # Optional, though it is always there: a plugin that also screens runs before it.
        self.optional_reads = (PROMPT, self._uncached_key, self._predictions_key)
        self.writes = (self._costs_key, self._quotes_key)
        self._unpriced = 0

    def screen(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        """Drops endpoints without a known price if they are to be excluded."""
        if not self._excludes:
            return endpoints
        price = self._book.price
        return [endpoint for endpoint in endpoints if price(endpoint) is not None]

    async def produce(self, request: InferenceRequest, state: CycleState, endpoints: Sequence[Endpoint]) -> None:
        """Writes the costs."""
        work = self._work(request, state)
        uncached = state.get(self._uncached_key) or UncachedRequestTokens(work.prompt)
        # Predictions are of one answer.
        predictions = (state.get(self._predictions_key) if request.answers == 1 else None) or {}
        quotes = Quotes(self._prices(endpoints, work, uncached), self._rates, work, uncached, predictions)
        state.write(self._quotes_key, quotes)
        state.write(self._costs_key, ExpectedCosts(self._currency, quotes.expected_costs()))

    def pre_request(self, request: InferenceRequest, state: CycleState, result: SchedulingResult) -> None:
        """Keeps the quotes for what was picked; those for a thousand others need not live as long as the response."""
        quotes = state.get(self._quotes_key)
        if quotes is not None:
            kept = quotes.only_of({profile.picked[0].name for profile in result.profiles.values()})
            state.write(self._quotes_key, kept)
            state.write(self._costs_key, ExpectedCosts(self._currency, kept.expected_costs()))

    def endpoints_changed(self, endpoints: Sequence[Endpoint]) -> None:
        """The pool has these endpoints."""
        self._book.endpoints_changed(endpoints)
        self._unpriced = sum(self._book.price(endpoint) is None for endpoint in endpoints)

    async def run(self) -> None:
        """Reads the price file again and again, if there is one."""
        if self._book.feed is not None:
            await self._book.feed.run()

    def diagnose(self, endpoints: Sequence[Endpoint], now: float) -> Diagnosis:
        """Whose price is not known or not good, what is wrong with the file, and each endpoint's price."""
        figures = {endpoint.name: _figures(self._book.price(endpoint)) for endpoint in endpoints}
        return Diagnosis(self._book.findings(endpoints, now, self._unknown.told), figures)

    def readings(self) -> Iterable[Reading]:
        """How many endpoints have no known price, and how old the file is."""
        yield GaugeReading("cost_unknown_prices", "Endpoints of the pool whose price is not known.", self._unpriced)
        yield from self._book.readings()

    def _work(self, request: InferenceRequest, state: CycleState) -> Work:
        if request.headers.get(":method") in _COMPUTES_NOTHING:
            return NOTHING
        prompt = state.get(PROMPT, Prompt()).tokens
        allowed = request.max_output_tokens
        most = self._most_output_tokens if allowed is None else max(0, min(allowed, MAX_TOKENS))
        expected, answers = request.output_tokens(self._output_tokens), request.answers
        return Work(prompt, min(MAX_TOKENS, expected * answers), min(MAX_TOKENS, most * answers))

    def _prices(
        self, endpoints: Sequence[Endpoint], work: Work, uncached: UncachedRequestTokens
    ) -> Mapping[str, Price]:
        price_of = self._book.price
        known = {endpoint.name: price for endpoint in endpoints if (price := price_of(endpoint)) is not None}
        if len(known) == len(endpoints) or self._excludes:
            return known
        stand_in = self._unknown.price
        if stand_in is None and known:
            costs = Quotes(known, self._rates, work, uncached, {}).expected_costs()
            stand_in = known[max(costs, key=lambda name: costs[name])]
        if stand_in is None:
            return known
        return {endpoint.name: known.get(endpoint.name, stand_in) for endpoint in endpoints}


class _Treatment:
    """What endpoints without a known price get."""

    def __init__(self, price: Price | None, told: str) -> None:
        self.price = price
        self.told = told


def _treatment(unknown_price: str | float) -> _Treatment:
    if unknown_price == "highest":
        return _Treatment(None, "it counts as dear as the dearest candidate")
    if unknown_price == "excluded":
        return _Treatment(None, "it gets no requests")
    price = checked_price("unknown_price", float(unknown_price))
    return _Treatment(HourPrice(price), f"it counts with {price:g} per hour")


def _figures(price: Price | None) -> Mapping[str, float | None]:
    if price is None:
        return {"price_per_hour": None}
    if isinstance(price, HourPrice):
        return {"price_per_hour": price.per_hour}
    return {"input_per_million": price.input, "output_per_million": price.output, "cached_input": price.cached_input}
