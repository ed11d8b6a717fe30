import pytest

from turnout.plugins.cost.currencies import check_currency, check_one_currency


@pytest.mark.parametrize("code", ["USD", "EUR", "JPY", "CHF"])
def test_codes_in_use_are_currencies(code: str) -> None:
    check_currency(code)


@pytest.mark.parametrize("code", ["", "usd", "$", "DOLLARS", "XXX", "DEM"])
def test_anything_else_is_none(code: str) -> None:
    with pytest.raises(ValueError, match="currency must be a code of ISO 4217 such as USD, got"):
        check_currency(code)


def test_what_states_no_currency_has_that_of_all() -> None:
    check_one_currency(["", "EUR", ""], "EUR")


@pytest.mark.parametrize(
    ("stated", "problem"),
    [
        pytest.param("USD", "must be the same for all prices, EUR, got 'USD'", id="another one"),
        pytest.param("Euro", "must be a code of ISO 4217 such as USD, got 'Euro'", id="none at all"),
    ],
)
def test_currencies_are_not_mixed(stated: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        check_one_currency(["EUR", stated], "EUR")
