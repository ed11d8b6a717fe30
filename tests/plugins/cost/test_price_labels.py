import pytest

from turnout.plugins.cost.price_labels import PriceLabels
from turnout.plugins.cost.prices import HourPrice, TokenPrice

LABELS = PriceLabels()
INPUT, OUTPUT = "turnout/price-per-million-input-tokens", "turnout/price-per-million-output-tokens"


@pytest.mark.parametrize(
    ("labels", "price"),
    [
        pytest.param({}, None, id="no label"),
        pytest.param(
            {"turnout/gpu-count": "8", "turnout/price-currency": "USD"}, None, id="labels, and none of a price"
        ),
        pytest.param({"turnout/price-per-hour": "3.20"}, HourPrice(3.2), id="per hour"),
        pytest.param({"turnout/price-per-gpu-hour": "2", "turnout/gpu-count": "8"}, HourPrice(16.0), id="GPUs"),
        pytest.param(
            {"turnout/price-per-hour": "3", "turnout/price-per-gpu-hour": "x"}, HourPrice(3.0), id="per hour goes first"
        ),
        pytest.param({INPUT: "0.5", OUTPUT: "1"}, TokenPrice(0.5, 1.0, 0.5), id="tokens"),
        pytest.param(
            {INPUT: "0.5", OUTPUT: "1", "turnout/price-per-hour": "x"}, TokenPrice(0.5, 1.0, 0.5), id="tokens first"
        ),
        pytest.param(
            {"turnout/price-per-hour": "3", "turnout/price-currency": "USD"}, HourPrice(3.0), id="the currency of all"
        ),
    ],
)
def test_labels_state_a_price(labels: dict[str, str], price: object) -> None:
    assert LABELS.price(labels, "USD") == price


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        pytest.param(
            {"turnout/price-per-hour": "abc"}, "label turnout/price-per-hour must be a number, got 'abc'", id="a word"
        ),
        pytest.param(
            {"turnout/price-per-hour": ""}, "label turnout/price-per-hour must be a number, got ''", id="empty"
        ),
        pytest.param({"turnout/price-per-hour": "-1"}, "per_hour must be from 0 to .*, got -1", id="negative"),
        pytest.param({"turnout/price-per-hour": "nan"}, "got nan", id="NaN"),
        pytest.param({"turnout/price-per-hour": "inf"}, "got inf", id="infinite"),
        pytest.param({"turnout/price-per-hour": "1" * 40}, "must be a number, got '1{32}'", id="forty digits"),
        pytest.param(
            {"turnout/price-per-gpu-hour": "2"},
            "label turnout/gpu-count is missing beside turnout/price-per-gpu-hour",
            id="no GPUs",
        ),
        pytest.param(
            {"turnout/price-per-gpu-hour": "2", "turnout/gpu-count": "0.5"},
            "gpus must be a whole number",
            id="half a GPU",
        ),
        pytest.param(
            {"turnout/price-per-gpu-hour": "2", "turnout/gpu-count": "inf"},
            "gpus must be a whole number",
            id="endless GPUs",
        ),
        pytest.param({INPUT: "2"}, "must be given together", id="half a price"),
        pytest.param(
            {"turnout/price-per-hour": "2", "turnout/price-currency": "EUR"},
            "label turnout/price-currency must be USD, got 'EUR'",
            id="another currency",
        ),
    ],
)
def test_a_bad_label_is_no_price(labels: dict[str, str], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        LABELS.price(labels, "USD")


def test_labels_have_the_names_that_they_are_given() -> None:
    own = PriceLabels(per_hour="cost", currency="")
    assert own.price({"cost": "4", "turnout/price-currency": "EUR"}, "USD") == HourPrice(4.0)
    assert PriceLabels(per_hour="").price({"": "4", "turnout/price-per-hour": "4"}, "USD") is None
