"""Prices that an endpoint's own labels state."""

from collections.abc import Mapping
from dataclasses import dataclass

from turnout.plugins.cost.prices import Price, stated_price

# Longer than any number that somebody means.
_MAX_DIGITS = 32


@dataclass(frozen=True, slots=True)
class PriceLabels:
    """The names of the labels with an endpoint's price; an empty name is no label.

    Of several that an endpoint has, the price of tokens goes first, then the one per hour, then GPU count times the one
    per GPU and hour.
    """

    per_hour: str = "turnout/price-per-hour"
    per_gpu_hour: str = "turnout/price-per-gpu-hour"
    gpu_count: str = "turnout/gpu-count"
    input_per_million: str = "turnout/price-per-million-input-tokens"
    output_per_million: str = "turnout/price-per-million-output-tokens"
    cached_input_per_million: str = "turnout/price-per-million-cached-input-tokens"
    currency: str = "turnout/price-currency"

    def price(self, labels: Mapping[str, str], currency: str) -> Price | None:
        """The price that the labels state, None if they state none.

        Raises:
            ValueError: they state one that is no number of the right size, or in another currency.
        """
        tokens = (
            _number(labels, self.input_per_million),
            _number(labels, self.output_per_million),
            _number(labels, self.cached_input_per_million),
        )
        by_tokens = any(part is not None for part in tokens)
        per_hour = None if by_tokens else _number(labels, self.per_hour)
        per_gpu_hour = None if by_tokens or per_hour is not None else _number(labels, self.per_gpu_hour)
        if not by_tokens and per_hour is None and per_gpu_hour is None:
            return None
        stated = labels.get(self.currency, currency) if self.currency else currency
        if stated != currency:
            raise ValueError(f"label {self.currency} must be {currency}, got {stated[:_MAX_DIGITS]!r}")
        gpus = 1.0 if per_gpu_hour is None else _number(labels, self.gpu_count)
        if gpus is None:
            raise ValueError(f"label {self.gpu_count} is missing beside {self.per_gpu_hour}")
        return stated_price(per_hour=per_hour, per_gpu_hour=per_gpu_hour, gpus=gpus, tokens=tokens)


def _number(labels: Mapping[str, str], name: str) -> float | None:
    stated = labels.get(name) if name else None
    if stated is None:
        return None
    try:
        return float(stated if len(stated) <= _MAX_DIGITS else "too long")
    except ValueError:
        raise ValueError(f"label {name} must be a number, got {stated[:_MAX_DIGITS]!r}") from None
