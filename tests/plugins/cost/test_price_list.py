import pytest

from turnout.plugins.cost.price_list import parse_prices, price_list
from turnout.plugins.cost.prices import HourPrice, PriceEntry, TokenPrice


def test_a_list_is_looked_up_by_value() -> None:
    entries = [PriceEntry("a", per_hour=1.0), PriceEntry("b", per_hour=2.0, currency="USD")]
    assert price_list(entries, "USD") == {"a": HourPrice(1.0), "b": HourPrice(2.0)}


@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        pytest.param([PriceEntry("a", per_hour=1.0)] * 2, "values of their own, got 'a' twice", id="one value twice"),
        pytest.param([PriceEntry("a", per_hour=1.0, currency="EUR")], "the same for all prices, USD", id="mixed"),
        pytest.param([PriceEntry("a", per_hour=1.0)] * 10_001, "must be at most 10000, got 10001", id="too many"),
    ],
)
def test_a_list_that_is_not_good_is_refused(entries: list[PriceEntry], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        price_list(entries, "USD")


def test_a_document_has_the_same_fields_as_the_configuration() -> None:
    document = b"""{"currency": "USD", "prices": [
        {"value": "a", "perHour": 3},
        {"value": "b", "perGpuHour": 2.5, "gpus": 4},
        {"value": "c", "inputPerMillion": 1, "outputPerMillion": 2, "cachedInputPerMillion": 0.5, "currency": "USD"}
    ]}"""
    assert parse_prices(document, "USD") == {"a": HourPrice(3.0), "b": HourPrice(10.0), "c": TokenPrice(1.0, 2.0, 0.5)}


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        pytest.param(b"", "truncated", id="empty"),
        pytest.param(b"[]", "Expected `object`", id="no document"),
        pytest.param(b'{"currency": "USD"}', "missing required field `prices`", id="no prices"),
        pytest.param(b'{"prices": [{"value": "a", "perHour": NaN}]}', "malformed", id="NaN, which JSON does not have"),
        pytest.param(b'{"prices": [{"value": "a", "perHour": 1e400}]}', "out of range", id="infinite"),
        pytest.param(b'{"prices": [{"value": "a", "perHour": -1}]}', r"prices\[0\]: per_hour must be", id="negative"),
        pytest.param(b'{"prices": [{"value": "a"}]}', r"prices\[0\]: price must be stated", id="no price"),
        pytest.param(b'{"prices": [{"value": "a", "perhour": 1}]}', "unknown field `perhour`", id="a misspelt field"),
        pytest.param(b'{"prices": [], "currency": "EUR"}', "the same for all prices, USD, got 'EUR'", id="mixed"),
        pytest.param(b'{"prices": [], "currency": "Talers"}', "must be a code of ISO 4217", id="unknown currency"),
    ],
)
def test_a_document_that_is_not_good_is_refused(document: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_prices(document, "USD")
