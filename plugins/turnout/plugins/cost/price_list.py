"""Lists of prices by the value of a label: of the configuration, and of a file."""

from collections.abc import Mapping, Sequence

import msgspec

from turnout.plugins.cost.currencies import check_one_currency
from turnout.plugins.cost.prices import Price, PriceEntry
from turnout.plugins.feeds.feed import decoded

MAX_ENTRIES = 10_000


class _Entry(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    value: str
    per_hour: float | None = None
    per_gpu_hour: float | None = None
    gpus: int = 1
    input_per_million: float | None = None
    output_per_million: float | None = None
    cached_input_per_million: float | None = None
    currency: str = ""


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    prices: list[_Entry]
    currency: str = ""


def price_list(entries: Sequence[PriceEntry], currency: str) -> Mapping[str, Price]:
    """The prices by label value.

    Raises:
        ValueError: there are too many, two for one value, or one in another currency.
    """
    if len(entries) > MAX_ENTRIES:
        raise ValueError(f"prices must be at most {MAX_ENTRIES}, got {len(entries)}")
    check_one_currency((entry.currency for entry in entries), currency)
    found = {entry.value: entry.price() for entry in entries}
    if len(found) < len(entries):
        values = [entry.value for entry in entries]
        twice = next(value for value in values if values.count(value) > 1)
        raise ValueError(f"prices must have values of their own, got {twice!r} twice")
    return found


def parse_prices(content: bytes, currency: str) -> Mapping[str, Price]:
    """The prices of a JSON document such as ``{"currency": "USD", "prices": [{"value": "h100", "perHour": 4.2}]}``.

    Raises:
        ValueError: it is not such a document, or one of its prices is not good.
    """
    document = decoded(content, _Document)
    check_one_currency((document.currency,), currency)
    entries = []
    for position, entry in enumerate(document.prices):
        try:
            entries.append(PriceEntry(**msgspec.structs.asdict(entry)))
        except ValueError as error:
            raise ValueError(f"prices[{position}]: {error}") from error
    return price_list(entries, currency)
