"""Prices: of an endpoint's time, or of tokens."""

from dataclasses import dataclass
from typing import TypeAlias

MAX_PRICE = 1e9
"""The highest price of anything. Whatever is above is a mistake, and sums of what is below are finite."""

MAX_GPUS = 100_000
SECONDS_PER_HOUR = 3600.0
TOKENS_PER_PRICE = 1e6


@dataclass(frozen=True, slots=True)
class HourPrice:
    """What an endpoint costs, in money per hour, however many requests it serves."""

    per_hour: float


@dataclass(frozen=True, slots=True)
class TokenPrice:
    """What tokens cost, in money per million; those of a prompt that are cached may be cheaper."""

    input: float
    output: float
    cached_input: float


Price: TypeAlias = HourPrice | TokenPrice


@dataclass(frozen=True, slots=True)
class PriceEntry:
    """The price of the endpoints whose label has the ``value``: in exactly one of three ways.

    ``per_hour``; or ``per_gpu_hour``, times ``gpus``; or ``input_per_million`` and ``output_per_million`` tokens, and
    ``cached_input_per_million`` for tokens of the prompt that are cached (none: as the others). ``currency`` may be
    left out.

    Raises:
        ValueError: the price is none, or stated in more than one way, or one of its numbers is out of range.
    """

    value: str
    per_hour: float | None = None
    per_gpu_hour: float | None = None
    gpus: int = 1
    input_per_million: float | None = None
    output_per_million: float | None = None
    cached_input_per_million: float | None = None
    currency: str = ""

    def __post_init__(self) -> None:
        self.price()

    def price(self) -> Price:
        """The price that the entry states."""
        return stated_price(
            per_hour=self.per_hour,
            per_gpu_hour=self.per_gpu_hour,
            gpus=self.gpus,
            tokens=(self.input_per_million, self.output_per_million, self.cached_input_per_million),
        )


def stated_price(
    *,
    per_hour: float | None,
    per_gpu_hour: float | None,
    gpus: float,
    tokens: tuple[float | None, float | None, float | None],
) -> Price:
    """The price of which parts are stated; ``tokens`` are input, output and cached input, per million.

    Raises:
        ValueError: none or more than one is stated, one of tokens is incomplete, or a number is out of range.
    """
    by_tokens = any(part is not None for part in tokens)
    if (per_hour is not None) + (per_gpu_hour is not None) + by_tokens != 1:
        stated = "one of per_hour, per_gpu_hour, and input_per_million with output_per_million"
        raise ValueError(f"price must be stated by exactly {stated}")
    if by_tokens:
        return _token_price(*tokens)
    if per_hour is not None:
        return HourPrice(checked_price("per_hour", per_hour))
    if not (1 <= gpus <= MAX_GPUS and float(gpus).is_integer()):
        raise ValueError(f"gpus must be a whole number from 1 to {MAX_GPUS}, got {gpus}")
    per_hour = checked_price("per_gpu_hour", per_gpu_hour or 0.0) * gpus
    return HourPrice(checked_price("per_gpu_hour times gpus", per_hour))


def checked_price(name: str, value: float) -> float:
    """The value. Raises ``ValueError`` unless it is from 0 to the highest price; NaN is not."""
    if not 0.0 <= value <= MAX_PRICE:
        raise ValueError(f"{name} must be from 0 to {MAX_PRICE:g}, got {value}")
    return value


def _token_price(input_price: float | None, output: float | None, cached_input: float | None) -> TokenPrice:
    if input_price is None or output is None:
        raise ValueError("input_per_million and output_per_million must be given together")
    paid = checked_price("input_per_million", input_price)
    cached = paid if cached_input is None else checked_price("cached_input_per_million", cached_input)
    if cached > paid:
        raise ValueError(f"cached_input_per_million must be at most input_per_million, {paid}, got {cached}")
    return TokenPrice(paid, checked_price("output_per_million", output), cached)
