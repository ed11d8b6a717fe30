"""Which price each endpoint has, and whose is not known and why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from turnout.framework import Endpoint, Finding, Reading, WallClock
from turnout.plugins.cost.currencies import check_currency
from turnout.plugins.cost.price_labels import PriceLabels
from turnout.plugins.cost.price_list import parse_prices, price_list
from turnout.plugins.cost.prices import Price, PriceEntry
from turnout.plugins.feeds.feed import Feed
from turnout.plugins.feeds.source import FeedSource

MAX_FINDINGS = 20


@dataclass(frozen=True, slots=True)
class _Found:
    """An endpoint's price with what it was found by: the labels, and the file's list."""

    labels: Mapping[str, str]
    listed: object
    price: Price | None


class PriceBook:
    """Finds prices: by an endpoint's own labels, else in the file, else in the list of the configuration.

    File and list are looked up by the value of the label ``price_label``. The file's last good content stays in use.

    Raises:
        ValueError: the currency is none, a price is not good, the file is not good at the start, or there are lists
            and no label to look them up by.
    """

    def __init__(
        self,
        currency: str,
        labels: PriceLabels,
        price_label: str,
        entries: Sequence[PriceEntry],
        file: FeedSource | None,
        max_age: timedelta | None,
        wall_clock: WallClock,
    ) -> None:
        check_currency(currency)
        if (entries or file is not None) and not price_label:
            raise ValueError("price_label must not be empty with prices or a price_file, got ''")
        self._currency = currency
        self._labels = labels
        self._price_label = price_label
        self._listed = price_list(entries, currency)
        parse = partial(parse_prices, currency=currency)
        self.feed = None if file is None else Feed(file, parse, wall_clock, max_age)
        self._known: dict[str, _Found] = {}

    def price(self, endpoint: Endpoint) -> Price | None:
        """The endpoint's price; None if none is known."""
        listed = None if self.feed is None else self.feed.value
        found = self._known.get(endpoint.name)
        if found is None or found.labels is not endpoint.labels or found.listed is not listed:
            found = self._known[endpoint.name] = _Found(endpoint.labels, listed, self._find(endpoint.labels))
        return found.price

    def endpoints_changed(self, endpoints: Sequence[Endpoint]) -> None:
        """The pool has these endpoints; others are forgotten."""
        names = {endpoint.name for endpoint in endpoints}
        self._known = {name: found for name, found in self._known.items() if name in names}

    def findings(self, endpoints: Sequence[Endpoint], now: float, treatment: str) -> Sequence[Finding]:
        """What is wrong with the file, and with the prices of up to 20 endpoints; ``treatment`` says what they get."""
        found = list(self.feed.findings(now)) if self.feed is not None else []
        for endpoint in endpoints:
            problem = self._problem(endpoint.labels)
            if problem and len(found) < MAX_FINDINGS:
                found.append(Finding("unknown-price", f"{problem}; {treatment}", endpoint.name))
        return found

    def readings(self) -> Sequence[Reading]:
        """The file's, if there is one."""
        return [] if self.feed is None else list(self.feed.readings("prices"))

    def _find(self, labels: Mapping[str, str]) -> Price | None:
        try:
            stated = self._labels.price(labels, self._currency)
        except ValueError:
            # Its own label is meant to hold: a list's price would be another one.
            return None
        return stated or self._looked_up(labels)

    def _looked_up(self, labels: Mapping[str, str]) -> Price | None:
        value = labels.get(self._price_label)
        if value is None:
            return None
        of_file = self.feed.value if self.feed is not None else None
        return (of_file or {}).get(value) or self._listed.get(value)

    def _problem(self, labels: Mapping[str, str]) -> str:
        try:
            if self._labels.price(labels, self._currency) is not None or self._looked_up(labels) is not None:
                return ""
        except ValueError as error:
            return f"its price is not good: {error}"
        value = labels.get(self._price_label)
        if value is None:
            return f"it has no label with a price, and no label {self._price_label!r} to look one up by"
        return f"it has no label with a price, and none is listed for {self._price_label}={value[:64]!r}"
