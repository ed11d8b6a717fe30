import math

import pytest

from turnout.plugins.cost.prices import HourPrice, PriceEntry, TokenPrice, checked_price


@pytest.mark.parametrize(
    ("entry", "price"),
    [
        pytest.param(PriceEntry("a", per_hour=3.5), HourPrice(3.5), id="per hour"),
        pytest.param(PriceEntry("a", per_hour=0.0), HourPrice(0.0), id="nothing at all"),
        pytest.param(PriceEntry("a", per_gpu_hour=2.5, gpus=8), HourPrice(20.0), id="per GPU and hour"),
        pytest.param(
            PriceEntry("a", input_per_million=0.5, output_per_million=1.5), TokenPrice(0.5, 1.5, 0.5), id="tokens"
        ),
        pytest.param(
            PriceEntry("a", input_per_million=0.5, output_per_million=1.5, cached_input_per_million=0.05),
            TokenPrice(0.5, 1.5, 0.05),
            id="tokens, cached ones cheaper",
        ),
    ],
)
def test_a_price_is_stated_in_one_of_three_ways(entry: PriceEntry, price: object) -> None:
    assert entry.price() == price


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        pytest.param({}, "price must be stated by exactly one of per_hour", id="no price"),
        pytest.param({"per_hour": 1.0, "per_gpu_hour": 1.0}, "exactly one of per_hour", id="two prices"),
        pytest.param({"per_hour": 1.0, "input_per_million": 1.0}, "exactly one of per_hour", id="time and tokens"),
        pytest.param({"input_per_million": 1.0}, "must be given together", id="no price of the answer"),
        pytest.param({"cached_input_per_million": 1.0}, "must be given together", id="a discount on nothing"),
        pytest.param({"per_hour": -1.0}, r"per_hour must be from 0 to 1e\+09, got -1.0", id="negative"),
        pytest.param({"per_hour": math.nan}, "per_hour must be from 0 to .*, got nan", id="no number"),
        pytest.param({"per_gpu_hour": math.inf}, "per_gpu_hour must be from 0 to .*, got inf", id="infinite"),
        pytest.param({"per_hour": 1e308}, "per_hour must be from 0 to", id="absurd"),
        pytest.param({"per_gpu_hour": 1e9, "gpus": 2}, "per_gpu_hour times gpus must be", id="an absurd product"),
        pytest.param({"per_gpu_hour": 1.0, "gpus": 0}, "gpus must be a whole number from 1 to 100000", id="no GPU"),
        pytest.param(
            {"input_per_million": 1.0, "output_per_million": 1.0, "cached_input_per_million": 2.0},
            "cached_input_per_million must be at most input_per_million, 1.0, got 2.0",
            id="cached tokens that are dearer",
        ),
    ],
)
def test_other_prices_are_refused(parts: dict[str, float], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        PriceEntry("a", **parts)  # type: ignore[arg-type]  # fields by name


def test_the_highest_price_is_a_price() -> None:
    assert checked_price("x", 1e9) == 1e9
