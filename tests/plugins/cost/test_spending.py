import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnout.plugins.cost.spending import Spending, amount_of


@pytest.mark.parametrize(
    ("cost", "amount"),
    [
        pytest.param(1.5, 1_500_000_000, id="a cost"),
        pytest.param(1e-12, 1, id="less than the least is the least"),
        pytest.param(0.0, 0, id="nothing"),
        pytest.param(-0.0, 0, id="nothing, below"),
        pytest.param(1e300, 10**21, id="more than there is"),
        pytest.param(math.inf, 10**21, id="infinite"),
    ],
)
def test_costs_are_whole_amounts_rounded_up(cost: float, amount: int) -> None:
    assert amount_of(cost) == amount


def test_reserved_and_spent_take_from_the_same_limit() -> None:
    account = Spending(10)
    account.reserve(4)
    assert (account.fits(6, 0.0), account.fits(7, 0.0)) == (True, False)
    account.settle(4, 3, 1.0)
    assert (account.spent, account.reserved, account.overrun) == (3, 0, 0)
    assert (account.fits(7, 1.0), account.fits(8, 1.0)) == (True, False)


def test_a_cost_counts_until_all_of_its_minute_is_an_hour_old() -> None:
    account = Spending(10)
    account.reserve(10)
    account.settle(10, 10, 30.0)
    assert not account.fits(1, 3659.9)
    assert account.fits(10, 3660.0)
    assert account.is_empty(3660.0)


def test_what_costs_more_than_it_reserved_is_known() -> None:
    account = Spending(10)
    account.reserve(2)
    account.settle(2, 7, 0.0)
    assert (account.spent, account.overrun) == (7, 5)
    account.forget(3660.0)
    assert (account.spent, account.overrun) == (0, 0)


@pytest.mark.parametrize(
    ("amount", "seconds"),
    [
        pytest.param(1, 0.0, id="it fits now"),
        pytest.param(3, 3560.0, id="when the first minute is over"),
        pytest.param(6, 3620.0, id="when the second is, too"),
        pytest.param(9, 60.0, id="when a reservation is given back"),
        pytest.param(11, None, id="never"),
    ],
)
def test_it_is_known_when_an_amount_fits(amount: int, seconds: float | None) -> None:
    account = Spending(10)
    for now, cost in ((10.0, 3), (70.0, 3)):
        account.reserve(cost)
        account.settle(cost, cost, now)
    account.reserve(2)
    assert account.seconds_until(amount, 100.0) == seconds


def test_without_a_limit_everything_fits_and_is_counted() -> None:
    account = Spending()
    account.reserve(10**30)
    assert account.fits(10**30, 0.0)
    assert account.seconds_until(1, 0.0) == 0.0
    assert account.reserved == 10**30


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50), st.floats(0.0, 2000.0)), max_size=40))
def test_when_all_is_over_nothing_is_left(ends: list[tuple[int, int, float]]) -> None:
    account, now = Spending(100), 0.0
    for reservation, cost, later in ends:
        now += later
        account.reserve(reservation)
        account.settle(reservation, cost, now)
    assert account.is_empty(now + 3660.0)
    assert (account.spent, account.overrun, len(account._ends)) == (0, 0, 0)
